import { CfnOIDCProvider } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

/** An IAM OIDC provider that exists, or that this library makes. */
export interface ICiOidcProvider {
  /** The ARN of the IAM OIDC provider. */
  readonly providerArn: string;
  /** The issuer without `https://`, as condition keys begin with it. */
  readonly issuer: string;
  /** The audiences that tokens may be for. */
  readonly audiences: string[];
}

/** What every provider may be given. */
export interface CiOidcProviderOptions {
  /**
   * SHA-1 thumbprints of the issuer's certificates: only for an issuer whose certificate authority AWS does not trust.
   * @default - none; AWS checks the certificate with its own library of authorities
   */
  readonly thumbprints?: string[];
}

const ISSUER = /^https:\/\/[A-Za-z0-9.-]+(:[0-9]+)?(\/[A-Za-z0-9._~\/-]*[A-Za-z0-9._~-])?$/;

/** An IAM OIDC provider: no custom resource, and no function. */
export abstract class CiOidcProvider extends Construct implements ICiOidcProvider {
  public readonly providerArn: string;
  public readonly issuer: string;
  public readonly audiences: string[];

  constructor(scope: Construct, id: string, url: string, audiences: string[], options: CiOidcProviderOptions) {
    super(scope, id);
    if (!ISSUER.test(url)) {
      throw new Error(`"${url}" is no issuer: https://, a host, and no slash at the end`);
    }
    if (!audiences.length || audiences.some((audience) => !audience || audience.includes('*'))) {
      throw new Error('an audience is required, and it has no wildcard');
    }
    this.issuer = url.replace('https://', '');
    this.audiences = audiences;
    this.providerArn = new CfnOIDCProvider(this, 'Provider', {
      url,
      clientIdList: audiences,
      thumbprintList: options.thumbprints,
    }).attrArn;
  }
}
