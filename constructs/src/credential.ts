import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import { IUser } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { policyEntry, RotationPolicyProps } from './policy';
import { Target } from './targets';

/** An IAM user whose access key is rotated, and the places that need it. */
export interface RotatedCredential {
  /** The IAM user: created by this app, or imported with `User.fromUserName` or `User.fromUserArn`. */
  readonly user: IUser;
  /** Where pipelines find the key. */
  readonly targets: Target[];
  /**
   * Name of the secret.
   * @default - keyrota/USER/access-key
   */
  readonly secretName?: string;
  /**
   * Ages for this user alone.
   * @default - those of the construct
   */
  readonly policy?: RotationPolicyProps;
  /**
   * The account of the user, 12 digits, if it is another one; needs `role`.
   * @default - this account
   */
  readonly account?: string;
  /**
   * The role to assume in that account: its name or ARN; `{duty}` in it stands for rotate, sync, deactivate, delete.
   * @default - none
   */
  readonly role?: string;
  /**
   * The external ID that the role asks for.
   * @default - none
   */
  readonly externalId?: string;
}

const SECRET_NAME = /^[A-Za-z0-9/_+=.@-]{1,512}$/;

/** One credential as the construct works with it. */
export class Credential {
  public readonly userName: string;
  public readonly userArn: string;
  public readonly secretName: string;

  constructor(
    private readonly scope: Construct,
    private readonly props: RotatedCredential,
  ) {
    this.userName = props.user.userName;
    this.userArn = props.user.userArn;
    this.secretName = props.secretName ?? secretNameFor(this.userName);
    const where = Token.isUnresolved(this.userName) ? props.user.node.path : this.userName;
    if (!Token.isUnresolved(this.secretName) && !SECRET_NAME.test(this.secretName)) {
      throw new Error(`${where}: "${this.secretName}" is no name for a secret`);
    }
    if ((props.account === undefined) !== (props.role === undefined)) {
      throw new Error(`${where}: account and role belong together: the role is assumed in that account`);
    }
    if (props.externalId !== undefined && props.role === undefined) {
      throw new Error(`${where}: externalId needs a role`);
    }
  }

  /** Whether the user lives in another account. */
  public get isElsewhere(): boolean {
    return this.props.account !== undefined;
  }

  /** The ARN pattern of the secret: Secrets Manager appends a hyphen and six characters. */
  public get secretArn(): string {
    const stack = Stack.of(this.scope);
    return stack.formatArn({ service: 'secretsmanager', resource: 'secret', resourceName: `${this.secretName}-??????`, arnFormat: COLON });
  }

  /** The role that a duty assumes in the user's account. */
  public roleArn(duty: string): string {
    const role = (this.props.role ?? '').replace('{duty}', duty);
    return role.startsWith('arn:')
      ? role
      : Stack.of(this.scope).formatArn({ service: 'iam', region: '', account: this.props.account, resource: 'role', resourceName: role });
  }

  /** The providers that its targets need. */
  public get providers(): string[] {
    return this.props.targets.map((target) => target.entry().provider);
  }

  /** The places, for finding two credentials that claim one. */
  public get claims(): string[] {
    return this.props.targets.map((target) => JSON.stringify(target.entry()));
  }

  /** The entry in the configuration. */
  public entry(): { [name: string]: any } {
    const { account, role, externalId, policy, secretName, targets } = this.props;
    return {
      user: this.userName,
      ...(secretName || Token.isUnresolved(this.userName) ? { secret: this.secretName } : {}),
      ...(account ? { account, role } : {}),
      ...(externalId ? { external_id: externalId } : {}),
      ...(policy ? { policy: policyEntry(policy) } : {}),
      targets: targets.map((target) => ({ [target.entry().provider]: target.entry().settings })),
    };
  }
}

const COLON = ArnFormat.COLON_RESOURCE_NAME;

/** Derives the secret's name as keyrota does: what a secret's name may not hold becomes `=` and two digits. */
function secretNameFor(user: string): string {
  if (Token.isUnresolved(user)) {
    return `keyrota/${user}/access-key`;
  }
  const escaped = [...user].map((char) => (/[A-Za-z0-9/_+.@-]/.test(char) ? char : `=${char.codePointAt(0)!.toString(16).padStart(2, '0')}`));
  return `keyrota/${escaped.join('')}/access-key`;
}
