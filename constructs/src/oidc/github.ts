import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { CiOidcProvider, CiOidcProviderOptions, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions, plain, Subjects } from './role';

const PUBLIC = 'https://token.actions.githubusercontent.com';
const AUDIENCE = 'sts.amazonaws.com';

/** The OIDC provider of GitHub Actions. */
export interface GitHubOidcProviderProps extends CiOidcProviderOptions {
  /**
   * The issuer, for GitHub Enterprise Server or an enterprise with an issuer of its own.
   * @default - GitHub's public one
   */
  readonly url?: string;
  /**
   * The audience that workflows ask for.
   * @default sts.amazonaws.com
   */
  readonly audience?: string;
}

/** The OIDC provider of GitHub Actions: one in an account. */
export class GitHubOidcProvider extends CiOidcProvider {
  /** Refers to a provider that exists already. */
  public static fromArn(arn: string, props: GitHubOidcProviderProps = {}): ICiOidcProvider {
    return { providerArn: arn, issuer: (props.url ?? PUBLIC).replace('https://', ''), audiences: [props.audience ?? AUDIENCE] };
  }

  constructor(scope: Construct, id: string, props: GitHubOidcProviderProps = {}) {
    super(scope, id, props.url ?? PUBLIC, [props.audience ?? AUDIENCE], props);
  }
}

/** Which form of subject a repository's tokens have. */
export enum GitHubSubjectForm {
  /** `repo:octocat/shop:…`: repositories that were created before July 2026 and have not opted in. */
  CLASSIC = 'classic',
  /** `repo:octocat@123456/shop@456789:…`: repositories created, renamed or transferred since 2026-07-15. */
  IMMUTABLE = 'immutable',
  /** Both, while a repository changes from one to the other. */
  BOTH = 'both',
}

/** A repository, and what of it may assume the role: an environment, a branch, a tag, or pull requests. */
export interface GitHubRepository {
  /** `owner/name`. */
  readonly repository: string;
  /**
   * The owner's numeric ID, for the immutable form.
   * @default - none
   */
  readonly ownerId?: string;
  /**
   * The repository's numeric ID, for the immutable form.
   * @default - none
   */
  readonly repositoryId?: string;
  /**
   * Jobs of this environment.
   * @default - none
   */
  readonly environment?: string;
  /**
   * A whole ref, such as `refs/heads/main`; a wildcard needs `anyRef`.
   * @default - none
   */
  readonly gitRef?: string;
  /**
   * Workflows of pull requests, forks' included.
   * @default false
   */
  readonly pullRequest?: boolean;
}

/** A role for GitHub Actions. */
export interface GitHubOidcRoleProps extends CiOidcRoleOptions {
  /** GitHub's provider. */
  readonly provider: ICiOidcProvider;
  /** Who may assume the role. */
  readonly repositories: GitHubRepository[];
  /** Which form of subject the repositories' tokens have. */
  readonly subjectForm: GitHubSubjectForm;
  /**
   * Allow a wildcard at the end of `gitRef`, after a slash: `refs/heads/release/*`.
   * @default false
   */
  readonly anyRef?: boolean;
}

/** A role for GitHub Actions. */
export class GitHubOidcRole extends Construct {
  /** The role. */
  public readonly role: IRole;

  constructor(scope: Construct, id: string, props: GitHubOidcRoleProps) {
    super(scope, id);
    const subjects = props.repositories.flatMap((one) => subjectsOf(one, props));
    const sorted: Subjects = {
      exact: subjects.filter((subject) => !subject.endsWith('*')),
      patterns: subjects.filter((subject) => subject.endsWith('*')),
    };
    this.role = ciRole(this, props.provider, sorted, 'GitHub Actions', props);
  }
}

function subjectsOf(one: GitHubRepository, props: GitHubOidcRoleProps): string[] {
  const what = claim(one, props);
  return repositories(one, props.subjectForm).map((repository) => `repo:${repository}:${what}`);
}

/** Names the one thing after the repository: an environment replaces the ref in the subject. */
function claim(one: GitHubRepository, props: GitHubOidcRoleProps): string {
  const given = [one.environment, one.gitRef, one.pullRequest || undefined].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw new Error(`${one.repository}: name one of environment, gitRef and pullRequest; without one, pull requests of forks may assume the role`);
  }
  if (one.pullRequest) {
    return 'pull_request';
  }
  if (one.environment !== undefined) {
    return `environment:${plain(one.environment, 'the environment')}`;
  }
  return `ref:${ref(one.gitRef!, props.anyRef ?? false)}`;
}

function ref(text: string, mayEnd: boolean): string {
  const isPattern = text.endsWith('/*');
  const fixed = isPattern ? text.slice(0, -2) : text;
  if (!/^refs\/(heads|tags)(\/|$)/.test(fixed) || (!isPattern && /^refs\/(heads|tags)\/?$/.test(fixed))) {
    throw new Error(`gitRef "${text}": write it whole, refs/heads/main or refs/tags/v1`);
  }
  if (/[*?]/.test(fixed)) {
    throw new Error(`gitRef "${text}": a wildcard admits every name that begins so (main-evil); it may stand after the last slash only`);
  }
  if (isPattern && !mayEnd) {
    throw new Error(`gitRef "${text}": everybody who may push such a branch may assume the role; say so with anyRef: true`);
  }
  return text;
}

function repositories(one: GitHubRepository, form: GitHubSubjectForm): string[] {
  const match = /^([A-Za-z0-9][A-Za-z0-9-]*)\/([A-Za-z0-9._-]+)$/.exec(one.repository);
  if (!match) {
    throw new Error(`the repository "${one.repository}" must be "owner/name", without a wildcard`);
  }
  const classic = one.repository;
  if (form === GitHubSubjectForm.CLASSIC) {
    return [classic];
  }
  if (!/^[0-9]+$/.test(one.ownerId ?? '') || !/^[0-9]+$/.test(one.repositoryId ?? '')) {
    throw new Error(`${one.repository}: the immutable form needs ownerId and repositoryId, both numbers: gh api repos/${one.repository} --jq '.owner.id, .id'`);
  }
  const immutable = `${match[1]}@${one.ownerId}/${match[2]}@${one.repositoryId}`;
  return form === GitHubSubjectForm.BOTH ? [classic, immutable] : [immutable];
}
