import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { CiOidcProvider, CiOidcProviderOptions, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions, plain } from './role';

const UUID = /^\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?$/;

/** The OIDC provider of a Bitbucket workspace. */
export interface BitbucketOidcProviderProps extends CiOidcProviderOptions {
  /** The workspace's slug. */
  readonly workspace: string;
  /** The workspace's UUID, as the repository's OpenID Connect settings show it. */
  readonly workspaceUuid: string;
}

/** The OIDC provider of a Bitbucket workspace: each has an issuer of its own. */
export class BitbucketOidcProvider extends CiOidcProvider {
  /** Refers to a provider that exists already. */
  public static fromArn(arn: string, props: BitbucketOidcProviderProps): ICiOidcProvider {
    const { url, audience } = names(props);
    return { providerArn: arn, issuer: url.replace('https://', ''), audiences: [audience] };
  }

  constructor(scope: Construct, id: string, props: BitbucketOidcProviderProps) {
    const { url, audience } = names(props);
    super(scope, id, url, [audience], props);
  }
}

function names(props: BitbucketOidcProviderProps): { url: string; audience: string } {
  const workspace = plain(props.workspace, 'the workspace');
  const uuid = bare(props.workspaceUuid, 'workspaceUuid');
  return {
    url: `https://api.bitbucket.org/2.0/workspaces/${workspace}/pipelines-config/identity/oidc`,
    audience: `ari:cloud:bitbucket::workspace/${uuid}`,
  };
}

/** A repository whose pipelines may assume the role. */
export interface BitbucketRepository {
  /** The repository's UUID. */
  readonly repositoryUuid: string;
  /**
   * The deployment environment's UUID: only its deployment steps may.
   * @default - every step of the repository may; needs `anyStep`
   */
  readonly environmentUuid?: string;
}

/** A role for Bitbucket Pipelines. */
export interface BitbucketOidcRoleProps extends CiOidcRoleOptions {
  /** The workspace's provider. */
  readonly provider: ICiOidcProvider;
  /** Who may assume the role. */
  readonly repositories: BitbucketRepository[];
  /**
   * Trust steps outside of a deployment environment as well: every branch and every pull request of the repository.
   * @default false
   */
  readonly anyStep?: boolean;
}

/**
 * A role for Bitbucket Pipelines.
 *
 * The subject is `{repository}:{environment}:{step}` in deployment steps, and `{repository}:{step}` elsewhere; the
 * step's UUID is another one in each run, and a branch cannot be tested.
 */
export class BitbucketOidcRole extends Construct {
  /** The role. */
  public readonly role: IRole;

  constructor(scope: Construct, id: string, props: BitbucketOidcRoleProps) {
    super(scope, id);
    const patterns = props.repositories.map(({ repositoryUuid, environmentUuid }) => {
      const repository = `{${bare(repositoryUuid, 'repositoryUuid')}}`;
      if (environmentUuid !== undefined) {
        return `${repository}:{${bare(environmentUuid, 'environmentUuid')}}:*`;
      }
      if (!props.anyStep) {
        throw new Error(`${repository}: without environmentUuid every branch and pull request may assume the role; say so with anyStep: true`);
      }
      return `${repository}:*`;
    });
    this.role = ciRole(this, props.provider, { exact: [], patterns }, 'Bitbucket Pipelines', props);
  }
}

function bare(uuid: string, what: string): string {
  const match = UUID.exec(uuid);
  if (!match) {
    throw new Error(`${what} "${uuid}" is no UUID: names do not stand in Bitbucket's subject`);
  }
  return match[1];
}
