import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { known } from './names';
import { CiOidcProvider, CiOidcProviderOptions, existing, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions } from './role';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const WORKSPACE = /^[A-Za-z0-9_-]+$/;

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
    return existing(arn, url, audience);
  }

  constructor(scope: Construct, id: string, props: BitbucketOidcProviderProps) {
    const { url, audience } = names(props);
    super(scope, id, url, [audience], props);
  }
}

function names(props: BitbucketOidcProviderProps): { url: string; audience: string } {
  if (!WORKSPACE.test(known(props.workspace, 'the workspace'))) {
    throw new Error(`the workspace "${props.workspace}" must be its slug, as it stands in bitbucket.org/SLUG`);
  }
  const uuid = bare(props.workspaceUuid, 'workspaceUuid');
  return {
    url: `https://api.bitbucket.org/2.0/workspaces/${props.workspace}/pipelines-config/identity/oidc`,
    audience: `ari:cloud:bitbucket::workspace/${uuid}`,
  };
}

/** A repository whose pipelines may assume the role. */
export interface BitbucketRepository {
  /** The repository's UUID. */
  readonly repositoryUuid: string;
  /**
   * The deployment environment's UUID: only its deployment steps may.
   * @default - none; needs `anyStep`
   */
  readonly environmentUuid?: string;
  /**
   * Trust every step of this repository: every branch, every pull request and every deployment environment.
   * @default false
   */
  readonly anyStep?: boolean;
}

/** A role for Bitbucket Pipelines. */
export interface BitbucketOidcRoleProps extends CiOidcRoleOptions {
  /** The workspace's provider. */
  readonly provider: ICiOidcProvider;
  /** Who may assume the role. */
  readonly repositories: BitbucketRepository[];
}

/**
 * A role for Bitbucket Pipelines.
 *
 * The subject is `{repository}:{environment}:{step}` in deployment steps, and `{repository}:{step}` elsewhere; the
 * step's UUID is another one in each run, and a branch cannot be tested. A step that asks for audiences of its own
 * cannot assume the role: its token is for several, and the workspace's audience is compared exactly.
 */
export class BitbucketOidcRole extends Construct {
  /** The role. */
  public readonly role: IRole;

  constructor(scope: Construct, id: string, props: BitbucketOidcRoleProps) {
    super(scope, id);
    this.role = ciRole(this, props.provider, props.repositories.map(subjectOf), 'Bitbucket Pipelines', props);
  }
}

function subjectOf(one: BitbucketRepository): string {
  const repository = `{${bare(one.repositoryUuid, 'repositoryUuid')}}`;
  if (one.environmentUuid !== undefined) {
    if (one.anyStep) {
      throw new Error(`${repository}: give environmentUuid or anyStep, for they contradict each other`);
    }
    return `${repository}:{${bare(one.environmentUuid, 'environmentUuid')}}:*`;
  }
  if (!one.anyStep) {
    throw new Error(`${repository}: without environmentUuid every branch and pull request may assume the role; say so with anyStep: true beside it`);
  }
  return `${repository}:*`;
}

/** Takes the braces off, if there are both; Bitbucket writes UUIDs in small letters. */
function bare(uuid: string, what: string): string {
  const text = known(uuid, what)?.toLowerCase() ?? '';
  const inner = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  if (!UUID.test(inner)) {
    throw new Error(`${what} "${uuid}" is no UUID: names do not stand in Bitbucket's subject`);
  }
  return inner;
}
