import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Effect, IRole, Policy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { BlockPublicAccess, Bucket, BucketEncryption, IBucket } from 'aws-cdk-lib/aws-s3';
import { IQueue } from 'aws-cdk-lib/aws-sqs';
import {
  Choice,
  Condition,
  DefinitionBody,
  DistributedMap,
  Fail,
  JitterType,
  JsonPath,
  LogLevel,
  ProcessorMode,
  ProcessorType,
  ResultWriterV2,
  S3JsonItemReader,
  StateMachine,
  StateMachineType,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { STEPFUNCTIONS_USE_DISTRIBUTED_MAP_RESULT_WRITER_V2 } from 'aws-cdk-lib/cx-api';
import { Construct } from 'constructs';
import { Configuration } from './configuration';
import { DutyFunction, FunctionSettings } from './functions';

/** A Step Functions map over shards of the credentials: one item an account, or a shard of it. */
export interface FleetOptions {
  /**
   * So many credentials of one account are one item, so that its role, its report and IAM's pacing stay together.
   * @default 200
   */
  readonly shardSize?: number;
  /**
   * So many items are worked on at once.
   * @default 10
   */
  readonly maxConcurrency?: number;
  /**
   * The execution goes on while no more than this share of the items has failed, in percent.
   * @default 20
   */
  readonly toleratedFailurePercentage?: number;
  /**
   * The bucket for manifests and results.
   * @default - a new one, whose objects are kept for 90 days
   */
  readonly bucket?: IBucket;
}

interface FleetProps extends FleetOptions {
  readonly functions: { [duty: string]: IFunction };
  readonly settings: FunctionSettings;
  readonly configuration: Configuration;
  readonly deadLetters: IQueue;
}

const KEEP = Duration.days(90);
const RESULTS = 'results';
/** What S3 does with a key for who writes and reads objects. */
const BUCKET_KEY = ['kms:Decrypt', 'kms:GenerateDataKey'];

/** Writes below its prefix; CDK's own writer may write anywhere in the bucket, which may be a bucket of yours. */
class Results extends ResultWriterV2 {
  public providePolicyStatements(): PolicyStatement[] {
    return [
      new PolicyStatement({
        actions: ['s3:PutObject', 's3:GetObject', 's3:ListMultipartUploadParts', 's3:AbortMultipartUpload'],
        resources: [this.bucket!.arnForObjects(`${RESULTS}/*`)],
      }),
    ];
  }
}

/** The state machine of a fleet: cut, map, keep the results; a failed execution can be redriven. */
export class Fleet extends Construct {
  public readonly stateMachine: StateMachine;
  public readonly bucket: IBucket;

  constructor(scope: Construct, id: string, props: FleetProps) {
    super(scope, id);
    this.node.setContext(STEPFUNCTIONS_USE_DISTRIBUTED_MAP_RESULT_WRITER_V2, true);
    const size = props.shardSize ?? 200;
    const percentage = props.toleratedFailurePercentage ?? 20;
    if (!Number.isInteger(size) || size < 1) {
      throw new Error(`fleet.shardSize is ${size}: a whole number from 1`);
    }
    const most = props.maxConcurrency ?? 10;
    if (!Number.isInteger(most) || most < 1) {
      throw new Error(`fleet.maxConcurrency is ${most}: a whole number from 1 (0 would mean no bound at all)`);
    }
    if (!(percentage >= 0 && percentage <= 100)) {
      throw new Error(`fleet.toleratedFailurePercentage is ${percentage}: from 0 to 100`);
    }
    this.bucket = props.bucket ?? fleetBucket(this, props.settings.encryptionKey);
    const shard = new DutyFunction(this, 'shard', props.settings, { retryAttempts: 0, deadLetters: props.deadLetters });
    shard.function.addEnvironment('KEYROTA_FLEET_BUCKET', this.bucket.bucketName);
    shard.function.addEnvironment('KEYROTA_SHARD_SIZE', String(size));
    props.configuration.grantRead(shard.role);
    shard.allow(['s3:PutObject'], [this.bucket.arnForObjects('manifests/*')]);
    this.bucket.encryptionKey?.grant(shard.role, ...BUCKET_KEY);

    const cut = new LambdaInvoke(this, 'Cut', {
      lambdaFunction: shard.function,
      payload: TaskInput.fromObject({ duty: JsonPath.stringAt('$.duty'), execution: JsonPath.stringAt('$$.Execution.Name') }),
      payloadResponseOnly: true,
      resultPath: '$.manifest',
      retryOnServiceExceptions: true,
    });
    const map = new DistributedMap(this, 'EachShard', {
      maxConcurrency: most,
      toleratedFailurePercentage: percentage,
      mapExecutionType: StateMachineType.STANDARD,
      itemReader: new S3JsonItemReader({ bucketNamePath: JsonPath.stringAt('$.manifest.bucket'), key: JsonPath.stringAt('$.manifest.key') } as any),
      itemSelector: {
        'duty.$': '$.duty',
        'users.$': '$$.Map.Item.Value.users',
        'account.$': '$$.Map.Item.Value.account',
        'report': true,
      },
      resultWriterV2: new Results({ bucket: this.bucket, prefix: RESULTS }),
      resultPath: '$.results',
    });
    map.itemProcessor(this.work(props.functions), { mode: ProcessorMode.DISTRIBUTED, executionType: ProcessorType.STANDARD });
    const logs = new LogGroup(this, 'Logs', {
      retention: props.settings.logRetention,
      encryptionKey: props.settings.encryptionKey,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      comment: 'keyrota: one duty over all shards of the credentials',
      definitionBody: DefinitionBody.fromChainable(cut.next(map)),
      timeout: Duration.hours(12),
      tracingEnabled: true,
      logs: { destination: logs, level: LogLevel.ALL, includeExecutionData: false },
    });
    const allow = (actions: string[], resources: string[]): PolicyStatement =>
      new PolicyStatement({ effect: Effect.ALLOW, actions, resources });
    this.stateMachine.addToRolePolicy(allow(['s3:GetObject'], [this.bucket.arnForObjects('manifests/*')]));
    this.bucket.encryptionKey?.grant(this.stateMachine, ...BUCKET_KEY);
    // CDK allows stopping by the state machine's ARN, and executions have ARNs of their own (aws/aws-cdk#35390).
    const executions = ['/*', ':*'].map((tail) =>
      Stack.of(this).formatArn({
        service: 'states',
        resource: 'execution',
        resourceName: `${this.stateMachine.stateMachineName}${tail}`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    );
    const steer = ['states:DescribeExecution', 'states:StopExecution', 'states:RedriveExecution'];
    new Policy(this, 'Redrive', { statements: [allow(steer, executions)], roles: [this.stateMachine.role as IRole] });
  }

  /** One item: the function of the duty, again after throttling and errors of the service, with backoff and jitter. */
  private work(functions: { [duty: string]: IFunction }): Choice {
    const choice = new Choice(this, 'WhichDuty');
    for (const [duty, one] of Object.entries(functions)) {
      const invoke = new LambdaInvoke(this, `Do${duty[0].toUpperCase()}${duty.slice(1)}`, {
        lambdaFunction: one,
        payload: TaskInput.fromObject({ users: JsonPath.listAt('$.users'), account: JsonPath.stringAt('$.account'), report: true }),
        payloadResponseOnly: true,
        retryOnServiceExceptions: false,
      });
      invoke.addRetry({
        errors: ['Lambda.TooManyRequestsException', 'Lambda.ServiceException', 'Lambda.AWSLambdaException', 'Lambda.SdkClientException'],
        interval: Duration.seconds(2),
        backoffRate: 2,
        maxAttempts: 6,
        jitterStrategy: JitterType.FULL,
      });
      choice.when(Condition.stringEquals('$.duty', duty), invoke);
    }
    return choice.otherwise(new Fail(this, 'UnknownDuty', { error: 'UnknownDuty', cause: 'rotate, sync, deactivate or delete' }));
  }
}

function fleetBucket(scope: Construct, key?: IKey): Bucket {
  return new Bucket(scope, 'Bucket', {
    encryption: key ? BucketEncryption.KMS : BucketEncryption.S3_MANAGED,
    encryptionKey: key,
    bucketKeyEnabled: key ? true : undefined,
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    enforceSSL: true,
    versioned: true,
    lifecycleRules: [{ expiration: KEEP, noncurrentVersionExpiration: KEEP, abortIncompleteMultipartUploadAfter: Duration.days(1) }],
    removalPolicy: RemovalPolicy.RETAIN,
  });
}
