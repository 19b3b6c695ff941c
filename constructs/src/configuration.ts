import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import { Effect, IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { IBucket } from 'aws-cdk-lib/aws-s3';
import { IStringParameter, ParameterTier, StringParameter } from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Credential } from './credential';
import { policyEntry, RotationPolicyProps } from './policy';
import { providerEntries, ProvidersProps } from './providers';

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
  /** The users that it names, as ARNs; a pattern by a common IAM path is fine. */
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
   * Roles in other accounts that the functions may assume.
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
  /** What the names of events are matched with. */
  public readonly secretPatterns: any[];
  /** User names for the patterns of IAM's events; empty: any user. */
  public readonly userPatterns: string[];
  private readonly statement: PolicyStatement;
  private readonly key?: IStringParameter;
  private readonly bucket?: IBucket;

  constructor(scope: Construct, id: string, props: ConfigurationProps) {
    super(scope, id);
    const stored = props.configuration;
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
    this.secretPatterns = stored
      ? (stored.secretNamePrefixes ?? [PREFIX]).map((prefix) => ({ prefix }))
      : here.map((credential) => credential.secretName);
    this.userPatterns = stored ? [] : here.map((credential) => credential.userName);
  }

  /** Lets a role read it. */
  public grantRead(role: IRole): void {
    role.addToPrincipalPolicy(this.statement);
    this.bucket?.encryptionKey?.grantDecrypt(role);
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
    const length = Token.isUnresolved(text) ? JSON.stringify(content).length : text.length;
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
