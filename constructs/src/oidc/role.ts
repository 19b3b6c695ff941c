import { Duration } from 'aws-cdk-lib';
import { IManagedPolicy, Role, WebIdentityPrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { known } from './names';
import { checkedProvider, ICiOidcProvider } from './provider';

/** What every role may be given. */
export interface CiOidcRoleOptions {
  /**
   * The role's name.
   * @default - CloudFormation makes one
   */
  readonly roleName?: string;
  /**
   * What it is for.
   * @default - names the pipeline
   */
  readonly description?: string;
  /**
   * How long a session may live at most, from 1 to 12 hours.
   * @default Duration.hours(1)
   */
  readonly maxSessionDuration?: Duration;
  /**
   * Policies of the role.
   * @default - none
   */
  readonly managedPolicies?: IManagedPolicy[];
  /**
   * A boundary of the role.
   * @default - none
   */
  readonly permissionsBoundary?: IManagedPolicy;
}

/** The pipelines of a family of providers. */
export type Pipelines = 'Bitbucket Pipelines' | 'GitHub Actions' | 'GitLab CI/CD';

/** Whose issuer it is, if it is public, and what its subjects look like: a wildcard stands at the end, behind a whole name. */
const FAMILIES: { readonly [name in Pipelines]: { readonly issuer: RegExp; readonly subject: RegExp } } = {
  'Bitbucket Pipelines': {
    issuer: /^api\.bitbucket\.org\/2\.0\/workspaces\/[^/]+\/pipelines-config\/identity\/oidc$/,
    subject: /^\{[0-9a-f-]{36}\}(:\{[0-9a-f-]{36}\})?:\*$/,
  },
  'GitHub Actions': {
    issuer: /^token\.actions\.githubusercontent\.com(\/|$)/,
    subject: /^repo:[^*?:/]+\/[^*?:/]+:(pull_request|environment:[^*?:]+|ref:refs\/(heads|tags)\/([^*?:]+|([^*?:]+\/)?\*))$/,
  },
  'GitLab CI/CD': {
    issuer: /^gitlab\.com$/,
    subject: /^project_path:[^*?:/]+(\/[^*?:/]+)+:ref_type:(branch|tag):ref:([^*?:]+|([^*?:]+\/)?\*)$/,
  },
};

/** Makes the role: the audience is compared exactly, and the subject is required; each value is looked at here once more. */
export function ciRole(
  scope: Construct,
  provider: ICiOidcProvider,
  subjects: string[],
  pipelines: Pipelines,
  options: CiOidcRoleOptions,
): Role {
  const { issuer, audiences, providerArn } = checkedProvider(provider);
  const family = Object.entries(FAMILIES).find(([, { issuer: own }]) => own.test(issuer))?.[0];
  if (family !== pipelines && (family || pipelines === 'Bitbucket Pipelines')) {
    throw new Error(`"${issuer}" is not the issuer of ${pipelines}`);
  }
  if (!subjects.length) {
    throw new Error('a role without a subject would trust every pipeline of the issuer');
  }
  for (const subject of subjects) {
    if (!FAMILIES[pipelines].subject.test(known(subject, 'the subject'))) {
      throw new Error(`"${subject}" would trust more pipelines than it names`);
    }
  }
  const isPattern = subjects.some((subject) => subject.endsWith('*'));
  const aud = { [`${issuer}:aud`]: one(audiences) };
  const sub = { [`${issuer}:sub`]: one(subjects) };
  // One operator for all subjects: two operators in one statement would both have to hold.
  const conditions = isPattern ? { StringEquals: aud, StringLike: sub } : { StringEquals: { ...aud, ...sub } };
  return new Role(scope, 'Role', {
    roleName: options.roleName,
    description: options.description ?? `assumed by ${pipelines} with an OIDC token`,
    maxSessionDuration: options.maxSessionDuration ?? Duration.hours(1),
    managedPolicies: options.managedPolicies,
    permissionsBoundary: options.permissionsBoundary,
    assumedBy: new WebIdentityPrincipal(providerArn, conditions),
  });
}

/** Writes a list as IAM likes it: each value once, and a single one without brackets. */
function one(values: string[]): string | string[] {
  const unique = [...new Set(values)];
  return unique.length === 1 ? unique[0] : unique;
}
