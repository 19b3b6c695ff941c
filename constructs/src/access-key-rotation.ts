import * as fs from 'fs';
import * as path from 'path';
import { Annotations, ArnFormat, Aws, Duration, Stack, Token } from 'aws-cdk-lib';
import { IMetric, Metric, MetricOptions } from 'aws-cdk-lib/aws-cloudwatch';
import { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { EventBus, IEventBus } from 'aws-cdk-lib/aws-events';
import { Grant, IGrantable, IManagedPolicy, PermissionsBoundary, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { Code, IFunction } from 'aws-cdk-lib/aws-lambda';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { ACTIONS, ANYWHERE, ONE_TAG, TAGGING } from './actions';
import { addAlarms } from './alarms';
import { Configuration, StoredConfiguration } from './configuration';
import { Credential, RotatedCredential } from './credential';
import { Events } from './events';
import { Fleet, FleetOptions } from './fleet';
import { DutyFunction, FunctionSettings } from './functions';
import { iamEventsRegion } from './iam-events';
import { ages, RotationPolicyProps } from './policy';
import { hosts, ProvidersProps, tokens } from './providers';
import { addSchedules, heartbeatHours, SchedulesProps } from './schedules';
import { charactersOf } from './sizes';

/** Which events announce a new secret value. */
export enum SyncTrigger {
  /** Secrets Manager's own `Secret Label Updated`: needs no trail. */
  NATIVE = 'native',
  /** PutSecretValue and its like by CloudTrail: needs a trail that logs in this region. */
  CLOUDTRAIL = 'cloudtrail',
  /** Both. */
  BOTH = 'both',
}

/** What happens when AWS finds a key in public and puts its user into quarantine. */
export enum EmergencyMode {
  /** Replace the keys at once: successor first, then the leaked ones off. */
  AUTO = 'auto',
  /** Raise the alarm with the command to run. */
  ALARM = 'alarm',
}

/** Properties of AccessKeyRotation. */
export interface AccessKeyRotationProps {
  /**
   * The users whose keys are rotated, and the places that need them.
   * @default - they stand in `configuration`
   */
  readonly credentials?: RotatedCredential[];
  /**
   * The providers whose variables are written, with their tokens.
   * @default - they stand in `configuration`
   */
  readonly providers?: ProvidersProps;
  /**
   * At which ages a key is replaced, switched off and deleted.
   * @default - 90, 100 and 110 days
   */
  readonly policy?: RotationPolicyProps;
  /**
   * A keyrota.yaml that is stored already, instead of `credentials`, `providers` and `policy`.
   * @default - written from those properties
   */
  readonly configuration?: StoredConfiguration;
  /**
   * Hosts that may receive tokens and keys besides the providers' own, as `HOST` or `HOST:PORT`.
   * @default - those of the `baseUrl`s that are given here; a stored configuration names none
   */
  readonly allowedHosts?: string[];
  /**
   * What the names of the functions' roles begin with; the duty follows. A member account trusts them by these names.
   * @default - CloudFormation chooses the names, and no other account can trust them
   */
  readonly functionRolePrefix?: string;
  /**
   * When the functions run.
   * @default - every day, between 05:00 and 07:30 UTC
   */
  readonly schedules?: SchedulesProps;
  /**
   * Who keeps the credentials: stands in the tags of their secrets, in events and in metrics; one for each AccessKeyRotation of a stack.
   * @default - the stack's name
   */
  readonly keeper?: string;
  /**
   * Which events announce a new secret value.
   * @default SyncTrigger.NATIVE
   */
  readonly trigger?: SyncTrigger;
  /**
   * What happens when AWS puts a user into quarantine.
   * @default EmergencyMode.ALARM
   */
  readonly emergency?: EmergencyMode;
  /**
   * Let Secrets Manager rotate by its own schedule: deploys the rotation function.
   * @default false
   */
  readonly secretsManagerRotation?: boolean;
  /**
   * Where alarms are sent; with `encryptionKey`, give the topic that key too (`masterKey`).
   * @default - alarms are made, and tell nobody
   */
  readonly alarmsTopic?: ITopic;
  /**
   * A key for the secrets that keyrota makes in this account, for queues, logs and environments.
   *
   * An imported key's policy must let EventBridge, CloudWatch Logs and, for a topic, CloudWatch in; one that is made here is changed so.
   * @default - AWS's own keys
   */
  readonly encryptionKey?: IKey;
  /**
   * The bus for keyrota's own events.
   * @default - the account's default bus
   */
  readonly eventBus?: IEventBus;
  /**
   * How long log lines are kept.
   * @default RetentionDays.SIX_MONTHS
   */
  readonly logRetention?: RetentionDays;
  /**
   * A VPC for the functions, for a provider that only it reaches.
   * @default - none
   */
  readonly vpc?: IVpc;
  /**
   * Subnets of that VPC.
   * @default - private ones
   */
  readonly vpcSubnets?: SubnetSelection;
  /**
   * Security groups in that VPC.
   * @default - a new one
   */
  readonly securityGroups?: ISecurityGroup[];
  /**
   * A boundary for every role.
   * @default - none
   */
  readonly permissionsBoundary?: IManagedPolicy;
  /**
   * Many credentials: a Step Functions map over shards of them.
   * @default - one call of a function does all
   */
  readonly fleet?: FleetOptions;
  /**
   * Memory of the functions, in MB.
   * @default 512
   */
  readonly memoryMb?: number;
  /**
   * The functions' code.
   * @default - the package that comes with this library
   */
  readonly code?: Code;
}

const NAMESPACE = 'keyrota';
const ONE_CALL = 200;
/** Seven functions a policy names users in; IAM takes 10,240 characters for all inline policies of a role. */
const POLICY_CHARACTERS = 9_000;
/** What Lambda takes. */
const MEMORY_LEAST = 128;
const MEMORY_MOST = 10_240;
const KEEPER = /^[A-Za-z0-9_.:/=+-]{1,128}$/;

/**
 * Rotates IAM access keys, brings them to CI variables, and retires the old ones; breaks no pipeline doing it.
 *
 * Each function has a role that holds its own verbs only.
 */
export class AccessKeyRotation extends Construct {
  /** Makes new keys. */
  public readonly rotateFunction: IFunction;
  /** Brings them to the targets. */
  public readonly syncFunction: IFunction;
  /** Switches old keys off. */
  public readonly deactivateFunction: IFunction;
  /** Deletes them. */
  public readonly deleteFunction: IFunction;
  /** Reports what others do. */
  public readonly watchFunction: IFunction;
  /** One step of Secrets Manager's own rotation; only with `secretsManagerRotation`. */
  public readonly rotationFunction?: IFunction;
  /** Replaces keys of quarantined users; only with `emergency: AUTO`. */
  public readonly emergencyFunction?: IFunction;
  /** Messages that nothing could be done with. */
  public readonly deadLetterQueue: Queue;
  /** The age at which the daily report counts a key as overdue, in days after `rotateAfter`. */
  public readonly overdueAfterDays: number = 2;

  private readonly keptBy: string;

  constructor(scope: Construct, id: string, props: AccessKeyRotationProps) {
    super(scope, id);
    const stack = Stack.of(this);
    const { policy, encryptionKey } = props;
    const credentials = (props.credentials ?? []).map((credential) => new Credential(this, credential, { policy, encryptionKey }));
    validate(this, props, credentials);
    ages(policy ?? {});
    this.keptBy = `${props.keeper ?? stack.stackName}@${stack.region}/${stack.account}`;
    refuseTwin(this, this.keptBy);

    const configuration = new Configuration(this, 'Configuration', { ...props, credentials });
    const bus = props.eventBus ?? EventBus.fromEventBusName(this, 'Bus', 'default');
    if (encryptionKey) {
      letServicesIn(this, encryptionKey);
      if (props.alarmsTopic instanceof Topic && !props.alarmsTopic.masterKey) {
        Annotations.of(this).addWarningV2('keyrota:plain-topic', 'encryptionKey is given, and alarmsTopic is not encrypted: give the topic `masterKey`');
      }
    }
    this.deadLetterQueue = encryptedQueue(this, 'DeadLetters', props.encryptionKey, Duration.days(14));

    const emergency = props.emergency ?? EmergencyMode.ALARM;
    const trigger = props.trigger ?? SyncTrigger.NATIVE;
    const environment: { [name: string]: string } = {
      KEYROTA_CONFIG: configuration.reference,
      KEYROTA_STACK: this.keptBy,
      KEYROTA_EVENT_BUS: props.eventBus ? props.eventBus.eventBusArn : bus.eventBusName,
      KEYROTA_TRIGGER: trigger,
      KEYROTA_EMERGENCY: emergency,
      KEYROTA_ALLOWED_HOSTS: (props.allowedHosts ?? hosts(props.providers ?? {})).join(','),
      ...(props.configuration?.sha256 ? { KEYROTA_CONFIG_SHA256: props.configuration.sha256 } : {}),
      ...(props.alarmsTopic ? { KEYROTA_ALARM_TOPIC: props.alarmsTopic.topicArn } : {}),
    };
    const settings: FunctionSettings = {
      code: props.code ?? ownCode(),
      environment,
      logRetention: props.logRetention ?? RetentionDays.SIX_MONTHS,
      encryptionKey: props.encryptionKey,
      permissionsBoundary: props.permissionsBoundary,
      vpc: props.vpc,
      vpcSubnets: props.vpcSubnets,
      securityGroups: props.securityGroups,
      memoryMb: props.memoryMb ?? 512,
      rolePrefix: props.functionRolePrefix,
    };
    const retried = { retryAttempts: 2, deadLetters: this.deadLetterQueue };
    const once = { retryAttempts: 0, deadLetters: this.deadLetterQueue };

    const rotate = new DutyFunction(this, 'rotate', settings, once);
    const sync = new DutyFunction(this, 'sync', settings, retried);
    const deactivate = new DutyFunction(this, 'deactivate', settings, retried);
    const remove = new DutyFunction(this, 'delete', settings, retried);
    const watch = new DutyFunction(this, 'watch', settings, retried);
    const duties: { [duty: string]: DutyFunction } = { rotate, sync, deactivate, delete: remove, watch };
    if (props.secretsManagerRotation) {
      duties.rotation = new DutyFunction(this, 'rotation', settings, once);
      duties.rotation.function.addPermission('SecretsManager', {
        principal: new ServicePrincipal('secretsmanager.amazonaws.com'),
        sourceAccount: Aws.ACCOUNT_ID,
      });
    }
    if (emergency === EmergencyMode.AUTO) {
      duties.emergency = new DutyFunction(this, 'emergency', settings, retried);
    }
    for (const [duty, made] of Object.entries(duties)) {
      this.allow(duty, made, credentials, props, configuration, bus);
    }
    const roles = Object.values(duties).map((duty) => duty.role.roleName);
    watch.function.addEnvironment('KEYROTA_ROLES', roles.join(','));
    if (trigger !== SyncTrigger.NATIVE) {
      sync.allow(['cloudtrail:DescribeTrails'], ['*']);
      sync.allow(['cloudtrail:GetTrailStatus'], [`arn:${Aws.PARTITION}:cloudtrail:*:*:trail/*`]);
    }

    this.rotateFunction = rotate.function;
    this.syncFunction = sync.function;
    this.deactivateFunction = deactivate.function;
    this.deleteFunction = remove.function;
    this.watchFunction = watch.function;
    this.rotationFunction = duties.rotation?.function;
    this.emergencyFunction = duties.emergency?.function;

    new Events(this, 'Events', {
      trigger,
      sync: sync.function,
      watch: watch.function,
      emergency: this.emergencyFunction,
      deadLetters: this.deadLetterQueue,
      encryptionKey: props.encryptionKey,
      secrets: configuration.secretPatterns,
      users: configuration.userPatterns,
    });
    const functions = { rotate: rotate.function, sync: sync.function, deactivate: deactivate.function, delete: remove.function };
    const fleet = props.fleet
      ? new Fleet(this, 'Fleet', { ...props.fleet, functions, settings, configuration, deadLetters: this.deadLetterQueue })
      : undefined;
    addSchedules(this, props.schedules ?? {}, functions, this.deadLetterQueue, fleet?.stateMachine);
    addAlarms(this, {
      rotation: this,
      functions: Object.values(duties).map((duty) => duty.function),
      scheduled: functions,
      heartbeatHours: heartbeatHours(props.schedules ?? {}),
      fleet: fleet?.stateMachine,
      topic: props.alarmsTopic,
    });
    if (props.permissionsBoundary) {
      PermissionsBoundary.of(this).apply(props.permissionsBoundary);
    }
    const arrive = iamEventsRegion(stack.region);
    if (arrive !== undefined && stack.region !== arrive) {
      Annotations.of(this).addInfo(
        `IAM's events arrive in ${arrive} only: to hear of quarantined users at once, ` +
          `put an IamEventsForwarder with rotationRegion: '${stack.region}' into a stack there`,
      );
    }
    if (!props.fleet && credentials.length > ONE_CALL) {
      Annotations.of(this).addWarningV2(
        'keyrota:fleet',
        `${credentials.length} credentials in one call of a function: with more than ${ONE_CALL}, set \`fleet: {}\``,
      );
    }
  }

  /** Lets somebody start `sync` by hand. */
  public grantSync(grantee: IGrantable): Grant {
    return this.syncFunction.grantInvoke(grantee);
  }

  /** A metric of keyrota, such as `Rotated`, `HeldWithoutEnd` or `DaysOverdue`; see the README for all names. */
  public metric(name: string, duty: string, options?: MetricOptions): Metric {
    return new Metric({
      namespace: NAMESPACE,
      metricName: name,
      dimensionsMap: { Stack: this.keptBy, Function: duty },
      period: Duration.days(1),
      statistic: 'Maximum',
      ...options,
    });
  }

  /** How many days the most overdue key is older than `rotateAfter`. */
  public metricDaysOverdue(options?: MetricOptions): IMetric {
    return this.metric('DaysOverdue', 'sync', options);
  }

  /** How many days the provider's token that ends first is still good for. */
  public metricTokenDaysLeft(options?: MetricOptions): IMetric {
    return this.metric('TokenDaysLeft', 'sync', { statistic: 'Minimum', ...options });
  }

  /** How long after its event a secret value was on every target, in seconds. */
  public metricSyncLag(options?: MetricOptions): IMetric {
    return this.metric('SyncLag', 'sync', options);
  }

  private allow(
    duty: string,
    made: DutyFunction,
    credentials: Credential[],
    props: AccessKeyRotationProps,
    configuration: Configuration,
    bus: IEventBus,
  ): void {
    const actions = ACTIONS[duty];
    const onUsers = actions.filter((action) => action.startsWith('iam:'));
    made.allow(onUsers.filter((action) => !TAGGING.includes(action)), configuration.userArns);
    made.allow(onUsers.filter((action) => TAGGING.includes(action)), configuration.userArns, ONE_TAG);
    made.allow(actions.filter((action) => action.startsWith('secretsmanager:')), configuration.secretArns);
    made.allow(ANYWHERE[duty] ?? [], ['*']); // they take no resource
    configuration.grantRead(made.role);
    for (const token of tokens(props.providers ?? {})) {
      made.allow(['secretsmanager:GetSecretValue'], [token.secretFullArn ?? `${token.secretArn}-??????`]);
      token.encryptionKey?.grantDecrypt(made.role);
    }
    made.allow(['secretsmanager:GetSecretValue'], props.configuration?.tokenSecretArns ?? []);
    bus.grantPutEventsTo(made.role);
    const elsewhere = credentials.filter((credential) => credential.isElsewhere).map((credential) => credential.roleArn(duty));
    const members = (props.configuration?.memberRoleArns ?? []).map((arn) => arn.split('{duty}').join(duty));
    made.allow(['sts:AssumeRole'], [...new Set([...elsewhere, ...members])]);
    const tellsPeople = ['watch', 'emergency', ...((props.trigger ?? SyncTrigger.NATIVE) === SyncTrigger.NATIVE ? [] : ['sync'])];
    if (tellsPeople.includes(duty) && props.alarmsTopic) {
      const topic = props.alarmsTopic;
      Grant.addToPrincipalOrResource({ grantee: made.role, actions: ['sns:Publish'], resourceArns: [topic.topicArn], resource: topic });
      topic.masterKey?.grant(made.role, 'kms:Decrypt', 'kms:GenerateDataKey');
    }
    if (props.encryptionKey && actions.includes('secretsmanager:GetSecretValue')) {
      const service = `secretsmanager.${Stack.of(this).region}.${Stack.of(this).urlSuffix}`;
      const use = actions.includes('secretsmanager:PutSecretValue') ? ['kms:Decrypt', 'kms:GenerateDataKey'] : ['kms:Decrypt'];
      made.allow(use, [props.encryptionKey.keyArn], { StringEquals: { 'kms:ViaService': service } });
    }
  }
}

function validate(scope: Construct, props: AccessKeyRotationProps, credentials: Credential[]): void {
  if (props.configuration && (props.credentials || props.providers || props.policy)) {
    throw new Error('give either `configuration`, or `credentials` with `providers` and `policy`');
  }
  if (!props.configuration && !credentials.length) {
    throw new Error('give `credentials`, or a `configuration` that is stored already');
  }
  for (const [name, value, known] of [
    ['trigger', props.trigger, SyncTrigger],
    ['emergency', props.emergency, EmergencyMode],
  ] as const) {
    if (value !== undefined && !(Object.values(known) as string[]).includes(value)) {
      throw new Error(`${name} is "${value}": one of ${Object.values(known).join(', ')}`);
    }
  }
  const memory = props.memoryMb;
  if (memory !== undefined && !Token.isUnresolved(memory) && !(Number.isInteger(memory) && memory >= MEMORY_LEAST && memory <= MEMORY_MOST)) {
    throw new Error(`memoryMb is ${memory}: a whole number from ${MEMORY_LEAST} to ${MEMORY_MOST}`);
  }
  if (props.keeper !== undefined && !Token.isUnresolved(props.keeper) && !KEEPER.test(props.keeper)) {
    throw new Error(`keeper is "${props.keeper}": it stands in tags, so up to 128 of A-Z a-z 0-9 _ . : / = + -`);
  }
  const { others, ...typed } = props.providers ?? {};
  const named = Object.entries(typed).filter(([, options]) => options !== undefined).map(([name]) => name);
  const known = [...named, ...(others ?? []).map((other) => other.provider)];
  const users = new Set<string>();
  const secrets = new Set<string>();
  const places = new Map<string, string>();
  for (const credential of credentials) {
    const name = credential.userName;
    if (users.has(credential.identity)) {
      throw new Error(`${name}: the user is given twice`);
    }
    users.add(credential.identity);
    if (secrets.has(credential.secretIdentity)) {
      throw new Error(`${name}: the secret "${credential.secretName}" is given twice`);
    }
    secrets.add(credential.secretIdentity);
    for (const provider of credential.providers) {
      if (!known.includes(provider)) {
        const where = ['bitbucket', 'github', 'gitlab'].includes(provider) ? `providers.${provider}` : `providers.others of ${provider}`;
        throw new Error(`${name}: a target is at ${provider}, and \`${where}\` with its token is missing`);
      }
    }
    for (const claim of credential.claims) {
      const other = places.get(claim);
      if (other !== undefined) {
        throw new Error(`${name}: the target ${claim} is given twice${other === name ? '' : `, also for ${other}`}`);
      }
      places.set(claim, name);
    }
  }
  const characters = credentials
    .filter((credential) => !credential.isElsewhere)
    .reduce((sum, credential) => sum + charactersOf(scope, credential.userArn) + charactersOf(scope, credential.secretArn), 0);
  if (characters > POLICY_CHARACTERS) {
    throw new Error(
      `${credentials.length} users by name are too many for a role's policy (10,240 characters): ` +
        'give them a common IAM path, store the configuration, and name the pattern in `configuration.userArns`',
    );
  }
}

/** Refuses a second one that would take the first one's tags and metrics for its own. */
function refuseTwin(scope: AccessKeyRotation, keptBy: string): void {
  const stack = Stack.of(scope);
  const others = stack.node.findAll().filter((one) => one !== scope && one instanceof AccessKeyRotation && Stack.of(one) === stack);
  if (others.some((one) => (one as any).keptBy === keptBy)) {
    throw new Error(`${scope.node.id}: another AccessKeyRotation of this stack is ${keptBy} as well: give one of them \`keeper\``);
  }
}

/** Lets the log service use a key, and says so where a key's policy cannot be changed from here. */
function letServicesIn(scope: Construct, key: IKey): void {
  const stack = Stack.of(scope);
  const groups = stack.formatArn({ service: 'logs', resource: 'log-group', resourceName: '*', arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  const logs = `logs.${stack.region}.amazonaws.com`;
  const { statementAdded } = key.addToResourcePolicy(
    new PolicyStatement({
      principals: [new ServicePrincipal(logs)],
      actions: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
      resources: ['*'],
      conditions: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': groups } },
    }),
    true,
  );
  if (!statementAdded) {
    Annotations.of(scope).addWarningV2(
      'keyrota:imported-key',
      `encryptionKey is imported: its policy must let ${logs} encrypt and decrypt, and events.amazonaws.com decrypt and generate data keys; ` +
        'else nothing is deployed, or events never reach the queue',
    );
  }
}

function ownCode(): Code {
  const file = path.join(__dirname, '..', 'assets', 'keyrota.zip');
  if (!fs.existsSync(file)) {
    throw new Error(`the functions' code is not in this package (${file}): npm run assets, or give \`code\``);
  }
  return Code.fromAsset(file);
}

/** Makes a queue that takes messages over TLS only. */
export function encryptedQueue(scope: Construct, id: string, key: IKey | undefined, keep: Duration): Queue {
  return new Queue(scope, id, {
    enforceSSL: true,
    retentionPeriod: keep,
    ...(key ? { encryptionMasterKey: key } : { encryption: QueueEncryption.SQS_MANAGED }),
  });
}
