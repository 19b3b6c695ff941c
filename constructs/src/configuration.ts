import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import { Effect, IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { IBucket } from 'aws-cdk-lib/aws-s3';
import { IStringParameter, ParameterTier, StringParameter } from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Credential } from './credential';
import { policyEntry, RotationPolicyProps } from './policy';
import { providerEntries, ProvidersProps } from './providers';
import { LARGEST_LIST, SecretPatterns } from './secret-patterns';
import { charactersOf } from './sizes';

/** A keyrota.yaml that is stored already, and what it names: the roles are made from that. */
export interface StoredConfiguration {
  /**
   * The parameter that holds it; or name a bucket.
   * @default - an object of S3
   */
  readonly parameter?: IStringParameter;
  /**
   * The bucket that holds it, with `objectKey`.
   * @default - a parameter of SSM
   */
  readonly bucket?: IBucket;
  /**
   * The key of the object.
   * @default - a parameter of SSM
   */
  readonly objectKey?: string;
  /**
   * SHA-256 of its text, in hexadecimal digits: the functions refuse another text.
   * @default - whoever may write it decides what the functions do
   */
  readonly sha256?: string;
  /** The users that it names, as ARNs; a pattern by a common IAM path is fine, one of every user is not. */
  readonly userArns: string[];
  /**
   * The secrets of these users, as ARN patterns.
   * @default - every secret whose name begins with keyrota/
   */
  readonly secretArns?: string[];
  /**
   * Prefixes of the secrets' names, for the events' patterns.
   * @default - keyrota/
   */
  readonly secretNamePrefixes?: string[];
  /**
   * The secrets that hold the providers' tokens.
   * @default - none: tokens are elsewhere
   */
  readonly tokenSecretArns?: string[];
  /**
   * Roles in other accounts that the functions may assume; `{duty}` in them stands for rotate, sync, deactivate, delete.
   * @default - none
   */
  readonly memberRoleArns?: string[];
}

interface ConfigurationProps {
  readonly credentials: Credential[];
  readonly providers?: ProvidersProps;
  readonly policy?: RotationPolicyProps;
  readonly configuration?: StoredConfiguration;
}

const LARGEST_STANDARD = 4096;
const LARGEST = 8192;
const PREFIX = 'keyrota/';

/** Where the functions find their keyrota.yaml, and what it is about. */
export class Configuration extends Construct {
  /** `ssm:NAME` or `s3://BUCKET/KEY`. */
  public readonly reference: string;
  public readonly userArns: string[];
  public readonly secretArns: string[];
  /** What events are matched with. */
  public readonly secretPatterns: SecretPatterns;
  /** User names for the patterns of IAM's events; undefined: any user. */
  public readonly userPatterns?: string[];
  private readonly statement: PolicyStatement;
  private readonly key?: IStringParameter;
  private readonly bucket?: IBucket;

  constructor(scope: Construct, id: string, props: ConfigurationProps) {
    super(scope, id);
    const stored = props.configuration;
    refuseEverybody(stored);
    if (stored && (stored.parameter === undefined) === (stored.bucket === undefined)) {
      throw new Error('configuration: name either a parameter, or a bucket with objectKey');
    }
    if (stored?.bucket) {
      if (!stored.objectKey) {
        throw new Error('configuration: a bucket needs objectKey');
      }
      this.bucket = stored.bucket;
      this.reference = `s3://${stored.bucket.bucketName}/${stored.objectKey}`;
      this.statement = new PolicyStatement({
        effect: Effect.ALLOW,
        actions: ['s3:GetObject'],
        resources: [stored.bucket.arnForObjects(stored.objectKey)],
      });
    } else {
      this.key = stored?.parameter ?? this.written(props);
      this.reference = `ssm:${this.key.parameterName}`;
      this.statement = new PolicyStatement({ effect: Effect.ALLOW, actions: ['ssm:GetParameter'], resources: [this.key.parameterArn] });
    }
    const here = props.credentials.filter((credential) => !credential.isElsewhere);
    this.userArns = stored?.userArns ?? here.map((credential) => credential.userArn);
    this.secretArns = stored ? stored.secretArns ?? [this.everySecret()] : here.map((credential) => credential.secretArn);
    const secrets = stored
      ? (stored.secretNamePrefixes ?? [PREFIX]).map((name) => ({ name, isPrefix: true }))
      : props.credentials.map(({ secretName, account }) => ({ name: secretName, account, isPrefix: false }));
    this.secretPatterns = new SecretPatterns(this, secrets);
    this.userPatterns = stored ? undefined : this.fitting(props.credentials.map((credential) => credential.userName));
  }

  /** Returns the names, once each, if a pattern has room for them; a wider one only brings events that the functions pass over. */
  private fitting(names: string[]): string[] | undefined {
    const once = [...new Set(names)];
    const characters = once.reduce((sum, name) => sum + charactersOf(this, name) + 3, 0);
    return characters > LARGEST_LIST ? undefined : once;
  }

  /** Lets a role read it. */
  public grantRead(role: IRole): void {
    role.addToPrincipalPolicy(this.statement);
    this.bucket?.encryptionKey?.grantDecrypt(role);
    // IStringParameter does not tell of the key that a SecureString has.
    (this.key as { encryptionKey?: IKey } | undefined)?.encryptionKey?.grantDecrypt(role);
  }

  private everySecret(): string {
    return Stack.of(this).formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${PREFIX}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** Writes the configuration; JSON is YAML. */
  private written(props: ConfigurationProps): IStringParameter {
    const content = {
      version: 1,
      ...(props.policy ? { policy: policyEntry(props.policy) } : {}),
      providers: providerEntries(props.providers ?? {}),
      credentials: props.credentials.map((credential) => credential.entry()),
    };
    const text = Stack.of(this).toJsonString(content);
    const length = charactersOf(this, text);
    if (length > LARGEST) {
      throw new Error(
        `the configuration has ${length} characters, and a parameter of SSM holds ${LARGEST}: store it in S3 ` +
          '(keyrota deploy does), and give `configuration: { bucket, objectKey, … }`',
      );
    }
    return new StringParameter(this, 'Parameter', {
      description: 'The keyrota.yaml of the functions',
      stringValue: text,
      tier: length > LARGEST_STANDARD * 0.9 ? ParameterTier.ADVANCED : ParameterTier.STANDARD,
    });
  }
}

/** Refuses a configuration whose roles would work on nobody, or on every user of the account. */
function refuseEverybody(stored?: StoredConfiguration): void {
  if (stored && !stored.userArns.length && !stored.memberRoleArns?.length) {
    throw new Error('configuration: no user is named in userArns, and no role in memberRoleArns');
  }
  for (const arn of stored?.userArns ?? []) {
    if (!namesSome(arn, ':user/')) {
      throw new Error(`configuration: "${arn}" is every user of the account: give those to be rotated a common IAM path`);
    }
  }
  const wide: [string, string, string[] | undefined][] = [
    ['secretArns', ':secret:', stored?.secretArns],
    ['tokenSecretArns', ':secret:', stored?.tokenSecretArns],
    ['memberRoleArns', ':role/', stored?.memberRoleArns],
  ];
  for (const [field, kind, arns] of wide) {
    for (const arn of arns ?? []) {
      if (!namesSome(arn, kind)) {
        throw new Error(`configuration: ${field} has "${arn}", which is no part of an account: name a prefix at least`);
      }
    }
  }
}

/** Tells whether an ARN, a pattern too, names some things of a kind and not all of them; a reference is believed. */
function namesSome(arn: string, kind: string): boolean {
  const [head, ...rest] = arn.split(kind);
  const isWhole = rest.length > 0 && head.startsWith('arn:');
  return isWhole ? /[A-Za-z0-9]/.test(rest.join(kind)) : Token.isUnresolved(arn);
}
