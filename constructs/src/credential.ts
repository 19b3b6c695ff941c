import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import { IUser } from 'aws-cdk-lib/aws-iam';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { policyEntry, RotationPolicyProps } from './policy';
import { Target, TargetEntry } from './targets';

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
   * The role to assume in that account: its name or ARN; it must hold `{duty}`, which stands for rotate, sync,
   * deactivate, delete, …: one role for all of them would let every function do everything.
   * @default - none
   */
  readonly role?: string;
  /**
   * The external ID that the role asks for.
   * @default - none
   */
  readonly externalId?: string;
  /**
   * Other accounts (12 digits) and organizations (`o-…`) that the secret's resource policy may let in; anyone else in
   * it holds each new key.
   * @default - none
   */
  readonly secretReaders?: string[];
}

/** What the construct gives to all credentials. */
export interface Shared {
  readonly policy?: RotationPolicyProps;
  readonly encryptionKey?: IKey;
}

const USER_NAME = /^[A-Za-z0-9_+=,.@-]{1,128}$/;
const ACCOUNT = /^[0-9]{12}$/;
const ROLE = /^(arn:[a-z-]+:iam::(?<account>[0-9]{12}):role\/)?([A-Za-z0-9_+=,.@/-]|\{duty\})+$/;
const EXTERNAL_ID = /^[A-Za-z0-9_+=,.@:/-]{2,1224}$/;
const READER = /^([0-9]{12}|o-[a-z0-9]{10,32})$/;
const SECRET_NAME = /^[A-Za-z0-9/_+=.@-]{1,512}$/;

/** One credential as the construct works with it. */
export class Credential {
  public readonly userName: string;
  public readonly userArn: string;
  public readonly secretName: string;

  constructor(
    private readonly scope: Construct,
    private readonly props: RotatedCredential,
    private readonly shared: Shared = {},
  ) {
    this.userName = props.user.userName;
    this.userArn = props.user.userArn;
    this.secretName = props.secretName ?? secretNameFor(this.userName);
    const where = Token.isUnresolved(this.userName) ? props.user.node.path : this.userName;
    if (!Token.isUnresolved(this.userName) && !USER_NAME.test(this.userName)) {
      throw new Error(`"${this.userName}" is no name of an IAM user`);
    }
    if (!Token.isUnresolved(this.secretName) && !SECRET_NAME.test(this.secretName)) {
      throw new Error(`${where}: "${this.secretName}" is no name for a secret`);
    }
    if ((props.account === undefined) !== (props.role === undefined)) {
      throw new Error(`${where}: account and role belong together: the role is assumed in that account`);
    }
    if (props.externalId !== undefined && props.role === undefined) {
      throw new Error(`${where}: externalId needs a role`);
    }
    if (props.account !== undefined && !Token.isUnresolved(props.account) && !ACCOUNT.test(props.account)) {
      throw new Error(`${where}: the account "${props.account}" must have 12 digits`);
    }
    for (const reader of props.secretReaders ?? []) {
      if (!Token.isUnresolved(reader) && !READER.test(reader)) {
        throw new Error(`${where}: "${reader}" is no reader of a secret: an account (12 digits) or an organization (o-…)`);
      }
    }
    this.refuseNoRole(where);
    this.refuseStranger(where);
  }

  /** Refuses a role or an external ID that IAM or keyrota would refuse later. */
  private refuseNoRole(where: string): void {
    const { account, role, externalId } = this.props;
    if (role !== undefined && !Token.isUnresolved(role)) {
      const match = ROLE.exec(role);
      if (!match) {
        throw new Error(`${where}: "${role}" is no role: its name or its ARN, in which {duty} may stand`);
      }
      if (!role.includes('{duty}')) {
        throw new Error(`${where}: "${role}" is one role for every function: write {duty} where the roles' names differ`);
      }
      const home = match.groups!.account;
      if (home !== undefined && !Token.isUnresolved(account) && home !== account) {
        throw new Error(`${where}: the role belongs to another account than ${account}`);
      }
    }
    if (externalId !== undefined && !Token.isUnresolved(externalId) && !EXTERNAL_ID.test(externalId)) {
      throw new Error(`${where}: "${externalId}" is no external ID: 2 characters or more of A-Z a-z 0-9 _ + = , . @ : / -`);
    }
  }

  /** Refuses a user that lives in another account than the one where its keys would be looked for. */
  private refuseStranger(where: string): void {
    const home = Stack.of(this.scope).account;
    const lives = this.userArn.split(':')[4] ?? '';
    if (!ACCOUNT.test(lives) || lives === (this.props.account ?? home) || Token.isUnresolved(this.props.account)) {
      return;
    }
    // `User.fromUserName` writes the stack's own account into every ARN, so beside `account` that one says nothing.
    if (this.props.account === undefined ? Token.isUnresolved(home) : lives === home) {
      return;
    }
    throw new Error(`${where}: the user lives in the account ${lives}, not in ${this.props.account ?? home}: give \`account\` and \`role\` for it`);
  }

  /** What it is, for finding a user that is given twice: two accounts may have users of one name. */
  public get identity(): string {
    return `${this.props.account ?? ''}:${this.userName}`;
  }

  /** Its secret, for finding two users that claim one. */
  public get secretIdentity(): string {
    return `${this.props.account ?? ''}:${this.secretName}`;
  }

  /** Whether the user lives in another account. */
  public get isElsewhere(): boolean {
    return this.props.account !== undefined;
  }

  /** The account of the user, if it is another one. */
  public get account(): string | undefined {
    return this.props.account;
  }

  /** The ARN pattern of the secret: Secrets Manager appends a hyphen and six characters. */
  public get secretArn(): string {
    const stack = Stack.of(this.scope);
    return stack.formatArn({ service: 'secretsmanager', resource: 'secret', resourceName: `${this.secretName}-??????`, arnFormat: COLON });
  }

  /** The role that a duty assumes in the user's account. */
  public roleArn(duty: string): string {
    const role = (this.props.role ?? '').split('{duty}').join(duty);
    return role.startsWith('arn:')
      ? role
      : Stack.of(this.scope).formatArn({ service: 'iam', region: '', account: this.props.account, resource: 'role', resourceName: role });
  }

  /** The providers that its targets need. */
  public get providers(): string[] {
    return this.props.targets.map((target) => target.entry().provider);
  }

  /** The variables, for finding two credentials that claim one. */
  public get claims(): string[] {
    return this.props.targets.flatMap((target) => variables(target.entry()));
  }

  /** The entry in the configuration. */
  public entry(): { [name: string]: any } {
    const { account, role, externalId, policy, secretName, secretReaders, targets } = this.props;
    const key = this.isElsewhere ? undefined : this.shared.encryptionKey;
    return {
      user: this.userName,
      ...(secretName || Token.isUnresolved(this.userName) ? { secret: this.secretName } : {}),
      ...(account ? { account, role } : {}),
      ...(externalId ? { external_id: externalId } : {}),
      ...(key ? { kms_key: key.keyArn } : {}),
      ...(secretReaders?.length ? { secret_readers: secretReaders } : {}),
      ...(policy ? { policy: policyEntry({ ...this.shared.policy, ...given(policy) }) } : {}),
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

/** Leaves out what is there and undefined, so that it does not hide what it would inherit. */
function given(policy: RotationPolicyProps): RotationPolicyProps {
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
}

/** What names a place at a provider; the rest of an entry says how it is written. */
const PLACES: { readonly [provider: string]: string[] } = {
  bitbucket: ['workspace', 'repository', 'environment'],
  github: ['repository', 'organization', 'environment', 'dependabot'],
  gitlab: ['project', 'group', 'instance', 'environment_scope'],
};

/** Names each variable that a target writes, as keyrota finds two that claim one. */
function variables({ provider, settings }: TargetEntry): string[] {
  const fields = PLACES[provider];
  if (!fields) {
    return [JSON.stringify({ provider, settings })];
  }
  const usual: { [field: string]: any } = { environment_scope: '*' };
  const place = fields.map((field) => settings[field] ?? usual[field]).filter((value) => value !== undefined && value !== false);
  const names = settings.bundle ? [settings.bundle] : [settings.names?.id ?? 'AWS_ACCESS_KEY_ID', settings.names?.secret ?? 'AWS_SECRET_ACCESS_KEY'];
  return names.map((name) => `${provider} ${place.join(' ').toLowerCase()}: ${name}`);
}
