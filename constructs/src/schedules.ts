import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Aws, Token } from 'aws-cdk-lib';
import { IFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler';
import { IQueue } from 'aws-cdk-lib/aws-sqs';
import { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';

/** When the functions run: expressions of EventBridge Scheduler, such as `cron(0 5 * * ? *)` or `rate(12 hours)`. */
export interface SchedulesProps {
  /**
   * Make new keys.
   * @default - cron(0 5 * * ? *)
   */
  readonly rotate?: string;
  /**
   * Find what events missed.
   * @default - cron(30 5 * * ? *)
   */
  readonly sync?: string;
  /**
   * Switch old keys off.
   * @default - cron(30 6 * * ? *)
   */
  readonly deactivate?: string;
  /**
   * Delete old keys.
   * @default - cron(0 7 * * ? *)
   */
  readonly remove?: string;
  /**
   * The time zone of the expressions.
   * @default UTC
   */
  readonly timezone?: string;
  /**
   * Spread the starts over so many minutes, 1 to 1440, so that many accounts do not ask IAM at once.
   * @default 15
   */
  readonly flexibleMinutes?: number;
  /**
   * After how many hours without a run of a duty an alarm rings: 24 to 168, in steps of 12. More than the longest time between two runs.
   * @default 36
   */
  readonly heartbeatHours?: number;
}

const USUAL: { readonly [duty: string]: string } = {
  rotate: 'cron(0 5 * * ? *)',
  sync: 'cron(30 5 * * ? *)',
  deactivate: 'cron(30 6 * * ? *)',
  delete: 'cron(0 7 * * ? *)',
};
const EXPRESSION = /^(cron\((\S+ ){5}\S+\)|rate\([1-9][0-9]* (minute|hour|day)s?\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))$/;
const A_DAY = 1440;
const HEARTBEAT = 36;

/** After how many hours of silence a duty's alarm rings. */
export function heartbeatHours(props: SchedulesProps): number {
  const hours = props.heartbeatHours ?? HEARTBEAT;
  if (!Number.isInteger(hours) || hours % 12 !== 0 || hours < 24 || hours > 168) {
    throw new Error(`schedules.heartbeatHours is ${hours}: 24 to 168, in steps of 12`);
  }
  return hours;
}

/** Lets EventBridge Scheduler start each duty, by a function's call or by an execution of the fleet's state machine. */
export function addSchedules(
  scope: Construct,
  props: SchedulesProps,
  functions: { [duty: string]: IFunction },
  deadLetters: IQueue,
  fleet?: IStateMachine,
): void {
  const minutes = props.flexibleMinutes ?? 15;
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > A_DAY) {
    throw new Error(`schedules.flexibleMinutes is ${minutes}: a whole number from 1 to ${A_DAY}`);
  }
  if (props.timezone !== undefined && !isTimezone(props.timezone)) {
    throw new Error(`schedules.timezone is "${props.timezone}": write it as Area/City, such as Europe/Berlin`);
  }
  const place = new Construct(scope, 'Schedules');
  const role = new Role(place, 'Role', {
    description: 'keyrota: starts the functions',
    assumedBy: new ServicePrincipal('scheduler.amazonaws.com', { conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } } }),
  });
  const targets = Object.values(functions).map((one) => one.functionArn);
  role.addToPolicy(
    fleet
      ? new PolicyStatement({ effect: Effect.ALLOW, actions: ['states:StartExecution'], resources: [fleet.stateMachineArn] })
      : new PolicyStatement({ effect: Effect.ALLOW, actions: ['lambda:InvokeFunction'], resources: targets }),
  );
  role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: ['sqs:SendMessage'], resources: [deadLetters.queueArn] }));
  deadLetters.encryptionMasterKey?.grant(role, 'kms:Decrypt', 'kms:GenerateDataKey');
  const given: { [duty: string]: string | undefined } = { ...props, delete: props.remove } as any;
  for (const [duty, one] of Object.entries(functions)) {
    const expression = given[duty] ?? USUAL[duty];
    if (!expression.includes('${Token[') && !EXPRESSION.test(expression)) {
      throw new Error(`schedules.${duty === 'delete' ? 'remove' : duty}: "${expression}" is no schedule: write cron(0 5 * * ? *) or rate(1 day)`);
    }
    new CfnSchedule(place, duty[0].toUpperCase() + duty.slice(1), {
      description: `keyrota: ${duty}`,
      scheduleExpression: expression,
      scheduleExpressionTimezone: props.timezone ?? 'UTC',
      flexibleTimeWindow: { mode: 'FLEXIBLE', maximumWindowInMinutes: minutes },
      target: {
        arn: fleet ? fleet.stateMachineArn : one.functionArn,
        roleArn: role.roleArn,
        input: JSON.stringify(fleet ? { duty } : { source: 'aws.scheduler' }),
        deadLetterConfig: { arn: deadLetters.queueArn },
        retryPolicy: { maximumRetryAttempts: 3, maximumEventAgeInSeconds: 3600 },
      },
    });
  }
}

function isTimezone(name: string): boolean {
  try {
    return Token.isUnresolved(name) || Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}
