import { Token } from 'aws-cdk-lib';
import { CfnOIDCProvider } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { known, plain } from './names';

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

const HTTPS = 'https://';
// IAM API Reference, CreateOpenIDConnectProvider: paths are allowed, a port and a query are not.
const ISSUER = /^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/;
const ARN = /^arn:aws[a-z0-9-]*:iam::[0-9]{12}:oidc-provider\/(.+)$/;
const THUMBPRINT = /^[0-9a-fA-F]{40}$/;
const AUDIENCE_CHARACTERS_MAX = 255;
const THUMBPRINTS_MAX = 5;

/** An IAM OIDC provider: no custom resource, and no function. */
export abstract class CiOidcProvider extends Construct implements ICiOidcProvider {
  /** The ARN of the IAM OIDC provider. */
  public readonly providerArn: string;
  /** The issuer without `https://`, as condition keys begin with it. */
  public readonly issuer: string;
  /** The audiences that tokens may be for. */
  public readonly audiences: string[];

  constructor(scope: Construct, id: string, url: string, audiences: string[], options: CiOidcProviderOptions) {
    super(scope, id);
    this.issuer = issuerOf(url);
    this.audiences = checkedAudiences(audiences);
    this.providerArn = new CfnOIDCProvider(this, 'Provider', {
      url,
      clientIdList: audiences,
      thumbprintList: checkedThumbprints(options.thumbprints),
    }).attrArn;
  }
}

/** Refers to a provider that exists already. */
export function existing(providerArn: string, url: string, audience: string): ICiOidcProvider {
  return checkedProvider({ providerArn, issuer: issuerOf(url), audiences: [audience] });
}

/** Refuses a provider that a role must not trust, whoever made it: the interface is anybody's to implement. */
export function checkedProvider(provider: ICiOidcProvider): ICiOidcProvider {
  const issuer = checkedIssuer(provider.issuer, provider.issuer);
  checkedAudiences(provider.audiences);
  const arn = provider.providerArn;
  if (!Token.isUnresolved(arn) && ARN.exec(arn)?.[1].toLowerCase() !== issuer.toLowerCase()) {
    throw new Error(`"${arn}" is not the ARN of this issuer's provider: arn:aws:iam::ACCOUNT:oidc-provider/${issuer}`);
  }
  return provider;
}

function issuerOf(url: string): string {
  return checkedIssuer(known(url, 'the issuer').startsWith(HTTPS) ? url.slice(HTTPS.length) : '', url);
}

function checkedIssuer(issuer: string, text: string): string {
  if (!ISSUER.test(known(issuer, 'the issuer'))) {
    throw new Error(`"${text}" is no issuer: https://, a host without a port, and no slash at the end`);
  }
  return issuer;
}

function checkedAudiences(audiences: string[]): string[] {
  if (Token.isUnresolved(audiences)) {
    throw new Error('the audiences must be known at synthesis: nothing else can be checked');
  }
  if (!audiences.length) {
    throw new Error('an audience is required');
  }
  for (const audience of audiences) {
    if (plain(audience, 'the audience').length > AUDIENCE_CHARACTERS_MAX) {
      throw new Error(`the audience "${audience}" has more than ${AUDIENCE_CHARACTERS_MAX} characters`);
    }
  }
  return audiences;
}

function checkedThumbprints(thumbprints?: string[]): string[] | undefined {
  if (thumbprints && !Token.isUnresolved(thumbprints)) {
    for (const thumbprint of thumbprints) {
      if (!Token.isUnresolved(thumbprint) && !THUMBPRINT.test(thumbprint)) {
        throw new Error(`the thumbprint "${thumbprint}" must be the 40 hexadecimal digits of a SHA-1`);
      }
    }
    if (thumbprints.length > THUMBPRINTS_MAX) {
      throw new Error(`IAM takes ${THUMBPRINTS_MAX} thumbprints at most`);
    }
  }
  return thumbprints;
}
