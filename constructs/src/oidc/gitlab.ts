import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { CiOidcProvider, CiOidcProviderOptions, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions, plain, Subjects } from './role';

const PUBLIC = 'https://gitlab.com';

/** The OIDC provider of GitLab. */
export interface GitLabOidcProviderProps extends CiOidcProviderOptions {
  /**
   * The instance's URL.
   * @default https://gitlab.com
   */
  readonly url?: string;
  /**
   * The audience that jobs ask for with `id_tokens:`.
   * @default - the instance's URL
   */
  readonly audience?: string;
}

/** The OIDC provider of a GitLab instance. */
export class GitLabOidcProvider extends CiOidcProvider {
  /** Refers to a provider that exists already. */
  public static fromArn(arn: string, props: GitLabOidcProviderProps = {}): ICiOidcProvider {
    const url = props.url ?? PUBLIC;
    return { providerArn: arn, issuer: url.replace('https://', ''), audiences: [props.audience ?? url] };
  }

  constructor(scope: Construct, id: string, props: GitLabOidcProviderProps = {}) {
    const url = props.url ?? PUBLIC;
    super(scope, id, url, [props.audience ?? url], props);
  }
}

/** Whether a ref is a branch or a tag. */
export enum GitLabRefType {
  /** A branch. */
  BRANCH = 'branch',
  /** A tag. */
  TAG = 'tag',
}

/** A project, and the ref of it that may assume the role. */
export interface GitLabProject {
  /** The whole path, such as `acme/platform/shop`. */
  readonly project: string;
  /** The branch or tag; a wildcard needs `anyRef`. */
  readonly gitRef: string;
  /**
   * What `gitRef` is.
   * @default GitLabRefType.BRANCH
   */
  readonly refType?: GitLabRefType;
}

/** A role for GitLab CI/CD. */
export interface GitLabOidcRoleProps extends CiOidcRoleOptions {
  /** The instance's provider. */
  readonly provider: ICiOidcProvider;
  /** Who may assume the role. */
  readonly projects: GitLabProject[];
  /**
   * Allow `*` for a ref, or a wildcard at its end after a slash: `release/*`.
   * @default false
   */
  readonly anyRef?: boolean;
}

/**
 * A role for GitLab CI/CD.
 *
 * The subject is `project_path:GROUP/PROJECT:ref_type:branch:ref:NAME`, if the project keeps GitLab's default. It is a
 * path: who takes over a path that was given up gets the same subject.
 */
export class GitLabOidcRole extends Construct {
  /** The role. */
  public readonly role: IRole;

  constructor(scope: Construct, id: string, props: GitLabOidcRoleProps) {
    super(scope, id);
    const subjects = props.projects.map((one) => {
      if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$/.test(one.project)) {
        throw new Error(`the project "${one.project}" must be its whole path, group/project, without a wildcard`);
      }
      return `project_path:${one.project}:ref_type:${one.refType ?? GitLabRefType.BRANCH}:ref:${ref(one.gitRef, props.anyRef ?? false)}`;
    });
    const sorted: Subjects = {
      exact: subjects.filter((subject) => !subject.endsWith('*')),
      patterns: subjects.filter((subject) => subject.endsWith('*')),
    };
    this.role = ciRole(this, props.provider, sorted, 'GitLab CI/CD', props);
  }
}

function ref(text: string, mayEnd: boolean): string {
  const isPattern = text === '*' || text.endsWith('/*');
  if (isPattern && !mayEnd) {
    throw new Error(`gitRef "${text}": everybody who may push such a branch may assume the role; say so with anyRef: true`);
  }
  const fixed = isPattern ? text.slice(0, -1) : text;
  if (fixed) {
    plain(fixed, 'ref');
  }
  return isPattern ? text : plain(text, 'ref');
}
