import { Annotations, ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, IMetric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { IFunction } from 'aws-cdk-lib/aws-lambda';
import { ITopic } from 'aws-cdk-lib/aws-sns';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';

interface Measured {
  readonly deadLetterQueue: Queue;
  readonly overdueAfterDays: number;
  metric(name: string, duty: string, options?: any): IMetric;
  metricDaysOverdue(options?: any): IMetric;
  metricTokenDaysLeft(options?: any): IMetric;
}

interface AlarmsProps {
  readonly rotation: Measured;
  readonly functions: IFunction[];
  readonly scheduled: { [duty: string]: IFunction };
  readonly heartbeatHours: number;
  readonly fleet?: IStateMachine;
  readonly topic?: ITopic;
}

const A_WEEK = 7;
const HALF_A_DAY = 12;
const TOKEN_DAYS = 14;

/** Who works on a leaked key rings at the first failure. */
function isUrgent(one: IFunction): boolean {
  return ['Emergency', 'Watch'].includes(one.node.scope!.node.id);
}

/** Alarms for what a person must know: nothing else rings. */
export function addAlarms(scope: Construct, props: AlarmsProps): void {
  const place = new Construct(scope, 'Alarms');
  const { rotation, topic } = props;
  if (topic) {
    letAlarmsIn(scope, topic);
  }
  const make = (id: string, text: string, metric: IMetric, threshold: number, more: any = {}): void => {
    const alarm = new Alarm(place, id, {
      alarmDescription: `keyrota: ${text}`,
      metric,
      threshold,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...more,
    });
    if (topic) {
      alarm.addAlarmAction(new SnsAction(topic));
    }
  };
  make(
    'DeadLetters',
    'a message could not be worked on; look at the dead-letter queue',
    rotation.deadLetterQueue.metricApproximateNumberOfMessagesVisible({ period: Duration.minutes(5), statistic: 'Maximum' }),
    0,
  );
  for (const one of props.functions) {
    make(
      `${one.node.scope!.node.id}Fails`,
      `${one.node.scope!.node.id} failed${isUrgent(one) ? '' : ' on two days running'}; its log says why`,
      one.metricErrors({ period: Duration.days(1), statistic: 'Sum' }),
      0,
      isUrgent(one) ? {} : { evaluationPeriods: 2, datapointsToAlarm: 2 },
    );
  }
  make(
    'ValueRefused',
    'someone put a value into a secret that is not a valid key of its user; it is not served, and the event "Secret Value Refused" says why',
    rotation.metric('ValuesRefused', 'sync', { period: Duration.minutes(5), statistic: 'Sum' }),
    0,
  );
  make(
    'PairTorn',
    'pipelines fail at a place now: it holds half a pair; the event "Access Key Pair Torn" names it, and keyrota apply USER writes it again',
    rotation.metric('Torn', 'sync', { period: Duration.minutes(5), statistic: 'Maximum' }),
    0,
  );
  make(
    'Departed',
    'a user is not in the configuration any more, and keyrota has kept its key: nothing is rotated for it; keyrota check names it',
    rotation.metric('Departed', 'sync'),
    0,
  );
  addAgeAlarms(make, rotation);
  addHeartbeats(make, props);
  for (const duty of ['rotate', 'sync', 'deactivate', 'delete']) {
    make(
      `${duty[0].toUpperCase()}${duty.slice(1)}Held`,
      `something has been held by ${duty} for a week, and does not end by itself; keyrota status says what`,
      rotation.metric('HeldWithoutEnd', duty),
      0,
      { evaluationPeriods: A_WEEK, datapointsToAlarm: A_WEEK },
    );
  }
  make('TokenEnds', `a provider's token ends within ${TOKEN_DAYS} days`, rotation.metricTokenDaysLeft(), TOKEN_DAYS, {
    comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
  });
  if (props.fleet) {
    addFleetAlarms(make, rotation, props.fleet);
  }
}

type Make = (id: string, text: string, metric: IMetric, threshold: number, more?: any) => void;

/** The age of the oldest key, as three daily runs measure it: none of them watches itself. One alarm each: not every emulator has metric math. */
function addAgeAlarms(make: Make, rotation: Measured): void {
  const seen: { [id: string]: IMetric } = {
    Overdue: rotation.metricDaysOverdue(),
    OverdueSeenByDeactivate: rotation.metric('DaysOverdue', 'deactivate'),
    OverdueSeenByDelete: rotation.metric('DaysOverdue', 'delete'),
  };
  for (const [id, metric] of Object.entries(seen)) {
    make(id, `a key is older than rotate_after and ${rotation.overdueAfterDays} days`, metric, rotation.overdueAfterDays);
  }
}

/**
 * Rings where a schedule has stopped: missing data is breaching, so that silence is an alarm.
 *
 * `sync` is invoked by events as well; that it has looked at all credentials shows only in what its daily run measures.
 */
function addHeartbeats(make: Make, { rotation, scheduled, heartbeatHours }: AlarmsProps): void {
  const periods = heartbeatHours / HALF_A_DAY;
  const options = { period: Duration.hours(HALF_A_DAY) };
  for (const [duty, one] of Object.entries(scheduled)) {
    make(
      `${duty[0].toUpperCase()}${duty.slice(1)}Silent`,
      `${duty} has not run for ${heartbeatHours} hours; keyrota check --stack looks at its schedule`,
      duty === 'sync' ? rotation.metric('Credentials', 'sync', { ...options, statistic: 'SampleCount' }) : one.metricInvocations({ ...options, statistic: 'Sum' }),
      1,
      {
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        treatMissingData: TreatMissingData.BREACHING,
        evaluationPeriods: periods,
        datapointsToAlarm: periods,
      },
    );
  }
}

/** In a fleet the map reads what failed, so no invocation fails for one credential: its executions and its counts are watched. */
function addFleetAlarms(make: Make, rotation: Measured, fleet: IStateMachine): void {
  const daily = { period: Duration.days(1), statistic: 'Sum' };
  make('FleetFails', 'an execution of the fleet failed; redrive it when the cause is gone', fleet.metricFailed(daily), 0);
  make('FleetTimesOut', 'an execution of the fleet did not end in time', fleet.metricTimedOut(daily), 0);
  for (const duty of ['rotate', 'sync', 'deactivate', 'delete']) {
    make(
      `${duty[0].toUpperCase()}${duty.slice(1)}CredentialFails`,
      `${duty} failed for a credential on two days running; the results in the bucket say which and why`,
      rotation.metric('Failed', duty),
      0,
      { evaluationPeriods: 2, datapointsToAlarm: 2 },
    );
  }
}

/** Lets the account's alarms publish: a topic that has a policy of its own (`enforceSSL` makes one) has lost SNS's default for that. */
function letAlarmsIn(scope: Construct, topic: ITopic): void {
  const stack = Stack.of(scope);
  const alarms = stack.formatArn({ service: 'cloudwatch', resource: 'alarm', resourceName: '*', arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  const service = new ServicePrincipal('cloudwatch.amazonaws.com');
  topic.addToResourcePolicy(
    new PolicyStatement({
      principals: [service],
      actions: ['sns:Publish'],
      resources: [topic.topicArn],
      conditions: { StringEquals: { 'aws:SourceAccount': stack.account }, ArnLike: { 'aws:SourceArn': alarms } },
    }),
  );
  letAlarmsUse(scope, topic, service);
}

/** Lets alarms publish to a topic that is encrypted: they use its key themselves. */
function letAlarmsUse(scope: Construct, topic: ITopic, service: ServicePrincipal): void {
  const use = new PolicyStatement({ principals: [service], actions: ['kms:Decrypt', 'kms:GenerateDataKey*'], resources: ['*'] });
  if (topic.masterKey?.addToResourcePolicy(use, true).statementAdded === false) {
    Annotations.of(scope).addWarningV2(
      'keyrota:imported-topic-key',
      "the key of alarmsTopic is imported: its policy must let cloudwatch.amazonaws.com decrypt and generate data keys, or no alarm reaches anybody",
    );
  }
}
