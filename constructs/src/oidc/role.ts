import { Duration } from 'aws-cdk-lib';
import { IManagedPolicy, Role, WebIdentityPrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ICiOidcProvider } from './provider';

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

/** Subjects that a role trusts: each of them was checked. */
export interface Subjects {
  /** Subjects without a wildcard. */
  readonly exact: string[];
  /** Patterns: `*` and `?` stand for what they stand for in StringLike. */
  readonly patterns: string[];
}

/** Makes the role: the audience is compared exactly, and the subject is required. */
export function ciRole(
  scope: Construct,
  provider: ICiOidcProvider,
  subjects: Subjects,
  what: string,
  options: CiOidcRoleOptions,
): Role {
  const all = [...subjects.exact, ...subjects.patterns];
  if (!all.length) {
    throw new Error('a role without a subject would trust every pipeline of the issuer');
  }
  for (const subject of subjects.exact) {
    if (/[*?]/.test(subject)) {
      throw new Error(`"${subject}" has a wildcard`);
    }
  }
  for (const subject of all) {
    if (/^[*?:]*$/.test(subject)) {
      throw new Error(`"${subject}" would trust every pipeline of the issuer`);
    }
  }
  const sub = `${provider.issuer}:sub`;
  // One operator for all: two operators in one statement would both have to hold.
  const operator = subjects.patterns.length ? 'StringLike' : 'StringEquals';
  const values = all.length === 1 ? all[0] : all;
  const aud = { [`${provider.issuer}:aud`]: provider.audiences.length === 1 ? provider.audiences[0] : provider.audiences };
  const conditions =
    operator === 'StringEquals' ? { StringEquals: { ...aud, [sub]: values } } : { StringEquals: aud, StringLike: { [sub]: values } };
  return new Role(scope, 'Role', {
    roleName: options.roleName,
    description: options.description ?? `assumed by ${what} with an OIDC token`,
    maxSessionDuration: options.maxSessionDuration ?? Duration.hours(1),
    managedPolicies: options.managedPolicies,
    permissionsBoundary: options.permissionsBoundary,
    assumedBy: new WebIdentityPrincipal(provider.providerArn, conditions),
  });
}

/** Refuses wildcards in what must name one thing. */
export function plain(value: string, what: string): string {
  if (!value || /[*?\s]/.test(value)) {
    throw new Error(`${what} "${value}": it names one thing, without a wildcard`);
  }
  return value;
}
