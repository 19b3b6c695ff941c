import { Duration } from 'aws-cdk-lib';
import { EventPattern, Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as LambdaTarget, SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { IFunction } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { IQueue, Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { EVENTS_TARGET_QUEUE_SAME_ACCOUNT } from 'aws-cdk-lib/cx-api';
import { Construct } from 'constructs';
import { TIMEOUT } from './functions';
import { LARGEST_LIST, SecretPatterns } from './secret-patterns';

interface EventsProps {
  readonly trigger: string;
  readonly sync: IFunction;
  readonly watch: IFunction;
  readonly emergency?: IFunction;
  readonly deadLetters: IQueue;
  readonly encryptionKey?: IKey;
  readonly secrets: SecretPatterns;
  readonly users?: string[];
}

const TRIES = 5;

/** The rules, and the queue between them and `sync`. */
export class Events extends Construct {
  constructor(scope: Construct, id: string, props: EventsProps) {
    super(scope, id);
    this.node.setContext(EVENTS_TARGET_QUEUE_SAME_ACCOUNT, true);
    const queue = new Queue(this, 'Queue', {
      enforceSSL: true,
      visibilityTimeout: Duration.seconds(TIMEOUT.toSeconds() * 6),
      retentionPeriod: Duration.days(4),
      deadLetterQueue: { queue: props.deadLetters, maxReceiveCount: TRIES },
      ...(props.encryptionKey ? { encryptionMasterKey: props.encryptionKey } : { encryption: QueueEncryption.SQS_MANAGED }),
    });
    props.sync.addEventSource(
      new SqsEventSource(queue, {
        batchSize: 10,
        maxBatchingWindow: Duration.seconds(5),
        reportBatchItemFailures: true,
        maxConcurrency: 2,
      }),
    );
    if (props.trigger !== 'cloudtrail') {
      this.rule('NewValue', 'A secret has another AWSCURRENT', nativePattern(props.secrets.byName()), [new SqsQueue(queue, { deadLetterQueue: props.deadLetters })]);
    }
    if (props.trigger !== 'native') {
      this.rule('NewValueByCloudTrail', 'A secret may have another AWSCURRENT', cloudtrailPattern(props.secrets.asCalled()), [
        new SqsQueue(queue, { deadLetterQueue: props.deadLetters }),
      ]);
      this.rule('RotatedByCloudTrail', "Secrets Manager's own rotation succeeded", rotatedPattern(props.secrets.asCalled(LARGEST_LIST / 2)), [
        new SqsQueue(queue, { deadLetterQueue: props.deadLetters }),
      ]);
    }
    const watch = new LambdaTarget(props.watch, { deadLetterQueue: props.deadLetters });
    this.rule('KeyChanged', 'Somebody changed the keys of a user', keyPattern(props.users), [watch]);
    this.rule('Quarantined', 'AWS found a key in public', quarantinePattern(props.users), [watch]);
    if (props.emergency) {
      const emergency = new LambdaTarget(props.emergency, { deadLetterQueue: props.deadLetters });
      this.rule('QuarantinedNow', 'AWS found a key in public: replace it', quarantinePattern(props.users), [emergency]);
    }
  }

  private rule(id: string, description: string, eventPattern: EventPattern, targets: any[]): void {
    new Rule(this, id, { description: `keyrota: ${description}`, eventPattern, targets });
  }
}

/** Secrets Manager's own event: for every label but AWSPENDING and AWSPREVIOUS. */
function nativePattern(secrets?: any[]): EventPattern {
  return {
    source: ['aws.secretsmanager'],
    detailType: ['Secret Label Updated'],
    detail: { labelUpdated: ['AWSCURRENT'], ...(secrets ? { name: secrets } : {}) },
  };
}

/** The calls that can move AWSCURRENT; each names its secret in `secretId`, in the way of its caller. */
function cloudtrailPattern(secrets?: any[]): EventPattern {
  return {
    source: ['aws.secretsmanager'],
    detailType: ['AWS API Call via CloudTrail'],
    detail: {
      eventSource: ['secretsmanager.amazonaws.com'],
      eventName: ['PutSecretValue', 'UpdateSecretVersionStage', 'UpdateSecret'],
      errorCode: [{ exists: false }],
      ...(secrets ? { requestParameters: { secretId: secrets } } : {}),
    },
  };
}

/** Secrets Manager's own rotation names its secret in one of two places. */
function rotatedPattern(secrets?: any[]): EventPattern {
  return {
    source: ['aws.secretsmanager'],
    detailType: ['AWS Service Event via CloudTrail'],
    detail: {
      eventSource: ['secretsmanager.amazonaws.com'],
      eventName: ['RotationSucceeded'],
      ...(secrets ? { $or: [{ additionalEventData: { SecretId: secrets } }, { serviceEventDetails: { secretId: secrets } }] } : {}),
    },
  };
}

/** Who changes keys; our own roles are told apart by the function. */
export function keyPattern(users: string[] = []): EventPattern {
  return {
    source: ['aws.iam'],
    detailType: ['AWS API Call via CloudTrail'],
    detail: {
      eventSource: ['iam.amazonaws.com'],
      eventName: ['CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey'],
      errorCode: [{ exists: false }],
      ...(users.length ? { requestParameters: { userName: users } } : {}),
    },
  };
}

/** AWS attaches a policy to the user when it finds a key in public. */
export function quarantinePattern(users: string[] = []): EventPattern {
  return {
    source: ['aws.iam'],
    detailType: ['AWS API Call via CloudTrail'],
    detail: {
      eventSource: ['iam.amazonaws.com'],
      eventName: ['AttachUserPolicy'],
      errorCode: [{ exists: false }],
      requestParameters: {
        policyArn: [{ wildcard: '*:policy/AWSCompromisedKeyQuarantine*' }],
        ...(users.length ? { userName: users } : {}),
      },
    },
  };
}
