import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { known, refName } from './names';
import { CiOidcProvider, CiOidcProviderOptions, existing, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions } from './role';

const PUBLIC = 'https://gitlab.com';
const PROJECT = /^[A-Za-z0-9_.][A-Za-z0-9_.-]*(\/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+$/;

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
    return existing(arn, url, props.audience ?? url);
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
  /** The branch or tag, such as `main`; a wildcard needs `anyRef`. */
  readonly gitRef: string;
  /**
   * Allow `*` as this `gitRef`, or a wildcard at its end after a slash: `release/*`. Merge requests of such branches
   * are admitted too: GitLab's subject does not tell them apart.
   * @default false
   */
  readonly anyRef?: boolean;
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
    this.role = ciRole(this, props.provider, props.projects.map(subjectOf), 'GitLab CI/CD', props);
  }
}

function subjectOf(one: GitLabProject): string {
  if (!PROJECT.test(known(one.project, 'the project'))) {
    throw new Error(`the project "${one.project}" must be its whole path, group/project, without a wildcard`);
  }
  const refType = one.refType ?? GitLabRefType.BRANCH;
  if (!Object.values(GitLabRefType).includes(refType)) {
    throw new Error(`refType "${refType}" must be one of ${Object.values(GitLabRefType).join(', ')}`);
  }
  return `project_path:${one.project}:ref_type:${refType}:ref:${ref(one.gitRef, one.anyRef ?? false)}`;
}

function ref(text: string, isPatternAllowed: boolean): string {
  if (known(text, 'gitRef').startsWith('refs/')) {
    throw new Error(`gitRef "${text}": GitLab's subject has the name alone, without refs/heads/ or refs/tags/`);
  }
  return refName(text, text, isPatternAllowed);
}
