import { IRole } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { known, refName } from './names';
import { CiOidcProvider, CiOidcProviderOptions, existing, ICiOidcProvider } from './provider';
import { ciRole, CiOidcRoleOptions } from './role';

const PUBLIC = 'https://token.actions.githubusercontent.com';
const AUDIENCE = 'sts.amazonaws.com';
const SERVER = /\/_services\/token$/;
// An underscore stands in the names of managed users only.
const REPOSITORY = /^([A-Za-z0-9][A-Za-z0-9_-]*)\/([A-Za-z0-9._-]+)$/;
const ID = /^[1-9][0-9]*$/;

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
    return existing(arn, props.url ?? PUBLIC, props.audience ?? AUDIENCE);
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
   * Jobs of this environment, on any branch that its protection rules let in. A workflow that names an environment that
   * is not there makes it, without rules: make it first.
   * @default - none
   */
  readonly environment?: string;
  /**
   * A whole ref, such as `refs/heads/main`; a wildcard needs `anyRef`. Jobs that name an environment have no ref in their
   * subject.
   * @default - none
   */
  readonly gitRef?: string;
  /**
   * Allow a wildcard at the end of this `gitRef`, after a slash: `refs/heads/release/*`.
   * @default false
   */
  readonly anyRef?: boolean;
  /**
   * Workflows of pull requests: code that nobody has reviewed, and forks' too if the repository gives them tokens.
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
}

/**
 * A role for GitHub Actions.
 *
 * The subject is GitHub's default: an organization or repository that customizes its template has another one, which this
 * role does not admit.
 */
export class GitHubOidcRole extends Construct {
  /** The role. */
  public readonly role: IRole;

  constructor(scope: Construct, id: string, props: GitHubOidcRoleProps) {
    super(scope, id);
    const form = checkedForm(props.subjectForm, props.provider.issuer);
    const subjects = props.repositories.flatMap((one) => subjectsOf(one, form));
    this.role = ciRole(this, props.provider, subjects, 'GitHub Actions', props);
  }
}

function checkedForm(form: GitHubSubjectForm, issuer: string): GitHubSubjectForm {
  if (!Object.values(GitHubSubjectForm).includes(form)) {
    throw new Error(`subjectForm "${form}" must be one of ${Object.values(GitHubSubjectForm).join(', ')}`);
  }
  if (form !== GitHubSubjectForm.CLASSIC && SERVER.test(issuer)) {
    throw new Error(`subjectForm "${form}": GitHub Enterprise Server has the classic form only`);
  }
  return form;
}

function subjectsOf(one: GitHubRepository, form: GitHubSubjectForm): string[] {
  const what = claim(one);
  return repositories(one, form).map((repository) => `repo:${repository}:${what}`);
}

/** Names the one thing after the repository: an environment replaces the ref in the subject. */
function claim(one: GitHubRepository): string {
  const given = [one.environment, one.gitRef, one.pullRequest || undefined].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw new Error(`${one.repository}: name one of environment, gitRef and pullRequest; without one, code that nobody reviewed may assume the role`);
  }
  if (one.pullRequest) {
    return 'pull_request';
  }
  return one.environment !== undefined ? `environment:${environment(one.environment)}` : `ref:${ref(one.gitRef!, one.anyRef ?? false)}`;
}

function environment(name: string): string {
  if (!known(name, 'the environment') || /[*?\x00-\x1f\x7f]|^\s|\s$/.test(name)) {
    throw new Error(`the environment "${name}": it names one thing, without a wildcard`);
  }
  // Observed: GitHub writes ":" as "%3A" and leaves "%" as it is, so that x:y and x%3Ay are one subject.
  if (/:|%3a/i.test(name)) {
    throw new Error(`the environment "${name}": with a colon or %3A, two environments share a subject; give it another name`);
  }
  return name;
}

function ref(text: string, isPatternAllowed: boolean): string {
  const match = /^refs\/(?:heads|tags)\/([^]+)$/.exec(known(text, 'gitRef'));
  if (!match) {
    throw new Error(`gitRef "${text}": write it whole, refs/heads/main or refs/tags/v1`);
  }
  return refName(text, match[1], isPatternAllowed);
}

function repositories(one: GitHubRepository, form: GitHubSubjectForm): string[] {
  const match = REPOSITORY.exec(known(one.repository, 'the repository'));
  if (!match) {
    throw new Error(`the repository "${one.repository}" must be "owner/name", without a wildcard`);
  }
  const classic = one.repository;
  if (form === GitHubSubjectForm.CLASSIC) {
    return [classic];
  }
  if (!ID.test(known(one.ownerId ?? '', 'ownerId')) || !ID.test(known(one.repositoryId ?? '', 'repositoryId'))) {
    throw new Error(`${classic}: the immutable form needs ownerId and repositoryId, both numbers: gh api repos/${classic} --jq '.owner.id, .id'`);
  }
  const immutable = `${match[1]}@${one.ownerId}/${match[2]}@${one.repositoryId}`;
  return form === GitHubSubjectForm.BOTH ? [classic, immutable] : [immutable];
}
