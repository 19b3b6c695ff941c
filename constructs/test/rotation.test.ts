import { App, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { User } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import { ACTIONS } from '../lib/actions';
import {
  AccessKeyRotation,
  AccessKeyRotationProps,
  BitbucketDeployment,
  EmergencyMode,
  GitHubSecret,
  GitLabVariable,
  OtherTarget,
  SyncTrigger,
} from '../lib';

const SHOP = new BitbucketDeployment({ workspace: 'acme', repository: 'shop', environment: 'Production' });

function aStack(): Stack {
  return new Stack(new App(), 'keyrota', { env: { account: '123456789012', region: 'eu-central-1' } });
}

function code(stack: Stack): Code {
  return Code.fromBucket(Bucket.fromBucketName(stack, 'Code', 'code'), 'keyrota.zip');
}

function aRotation(stack: Stack, props: Partial<AccessKeyRotationProps> = {}): AccessKeyRotation {
  return new AccessKeyRotation(stack, 'Rotation', {
    code: code(stack),
    credentials: [{ user: User.fromUserName(stack, 'User', 'ci-deploy'), targets: [SHOP] }],
    providers: { bitbucket: { token: Secret.fromSecretNameV2(stack, 'Token', 'tokens/bitbucket') } },
    ...props,
  });
}

function template(props: Partial<AccessKeyRotationProps> = {}): Template {
  const stack = aStack();
  aRotation(stack, props);
  return Template.fromStack(stack);
}

function policies(made: Template, duty: string): any[] {
  const found = made.findResources('AWS::IAM::Policy');
  const [name] = Object.keys(found).filter((one) => one.startsWith(`Rotation${duty}RoleDefaultPolicy`));
  return found[name].Properties.PolicyDocument.Statement;
}

function actions(statements: any[]): string[] {
  return statements.flatMap((one) => one.Action).sort();
}

test('four functions, and one that watches, each with a role and a log group of its own', () => {
  const made = template();
  made.resourceCountIs('AWS::Lambda::Function', 5);
  made.resourceCountIs('AWS::Logs::LogGroup', 5);
  made.allResourcesProperties('AWS::Lambda::Function', { Runtime: 'python3.13', Architectures: ['arm64'], Timeout: 900 });
  made.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 180 });
  for (const one of Object.values(made.findResources('AWS::Lambda::Function')) as any[]) {
    expect(one.Properties.ReservedConcurrentExecutions).toBeUndefined();
  }
});

test.each(['rotate', 'sync', 'deactivate', 'delete', 'watch'])('%s holds its own verbs, and no other', (duty) => {
  const statements = policies(template(), duty[0].toUpperCase() + duty.slice(1));
  const about = statements.filter((one) => JSON.stringify(one.Resource).includes('ci-deploy'));
  expect(actions(about)).toEqual([...ACTIONS[duty]].sort());
});

test('only rotate tags users, and with no tag but its own', () => {
  const made = template();
  for (const duty of ['Rotate', 'Sync', 'Deactivate', 'Delete', 'Watch']) {
    const tagging = policies(made, duty).filter((one) => /iam:(Tag|Untag|\*)/.test(JSON.stringify(one.Action)));
    expect(tagging.map((one) => [one.Action, one.Condition])).toEqual(
      duty === 'Rotate' ? [['iam:TagUser', { 'ForAllValues:StringEquals': { 'aws:TagKeys': ['keyrota:secret'] } }]] : [],
    );
  }
});

test('nobody but rotate makes keys, nobody but delete deletes them, and two read no secret access key', () => {
  const made = template();
  const able = (action: string): string[] =>
    ['Rotate', 'Sync', 'Deactivate', 'Delete', 'Watch'].filter((duty) =>
      policies(made, duty).some((one) => [one.Action].flat().includes(action) && JSON.stringify(one.Resource).includes('ci-deploy')),
    );
  expect(able('iam:CreateAccessKey')).toEqual(['Rotate']);
  expect(able('iam:DeleteAccessKey')).toEqual(['Delete']);
  expect(able('iam:UpdateAccessKey')).toEqual(['Deactivate']);
  expect(able('secretsmanager:GetSecretValue')).toEqual(['Rotate', 'Sync']);
});

test('no action has a wildcard, and no resource is everything where an action takes one', () => {
  for (const one of Object.values(template().findResources('AWS::IAM::Policy')) as any[]) {
    for (const statement of one.Properties.PolicyDocument.Statement) {
      expect([statement.Action].flat().filter((action: string) => action.includes('*'))).toEqual([]);
      if (statement.Resource === '*') {
        // what takes no resource, and reads no value
        expect([statement.Action].flat().filter((action: string) => !['sts:GetAccessKeyInfo', 'iam:GenerateCredentialReport', 'iam:GetCredentialReport', 'secretsmanager:ListSecrets'].includes(action))).toEqual([]);
      }
    }
  }
});

test('the function that makes keys is never repeated by Lambda', () => {
  const made = template();
  const [rotate] = Object.entries(made.findResources('AWS::Lambda::EventInvokeConfig')).filter(([name]) => name.includes('Rotate'));
  expect((rotate[1] as any).Properties.MaximumRetryAttempts).toBe(0);
});

test('the configuration stands in a parameter, as keyrota reads it', () => {
  const made = template({
    policy: { rotateAfter: Duration.days(75), deactivateAfter: Duration.days(87), deleteAfter: Duration.hours(2340) },
  });
  const [parameter] = Object.values(made.findResources('AWS::SSM::Parameter')) as any[];
  const text = parameter.Properties.Value['Fn::Join'][1].map((part: any) => (typeof part === 'string' ? part : 'aws')).join('');
  expect(JSON.parse(text)).toEqual({
    version: 1,
    policy: { rotate_after: '75d', deactivate_after: '87d', delete_after: '2340h' },
    providers: { bitbucket: { auth: { token: 'secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:tokens/bitbucket' } } },
    credentials: [{ user: 'ci-deploy', targets: [{ bitbucket: { workspace: 'acme', repository: 'shop', environment: 'Production' } }] }],
  });
});

test('a configuration that is stored already is only referred to', () => {
  const stack = aStack();
  new AccessKeyRotation(stack, 'Rotation', {
    code: code(stack),
    configuration: {
      parameter: StringParameter.fromStringParameterName(stack, 'Config', '/keyrota/config'),
      userArns: ['arn:aws:iam::123456789012:user/ci/*'],
      tokenSecretArns: ['arn:aws:secretsmanager:eu-central-1:123456789012:secret:tokens/*'],
    },
  });
  const made = Template.fromStack(stack);
  made.resourceCountIs('AWS::SSM::Parameter', 0);
  made.hasResourceProperties('AWS::Lambda::Function', { Environment: { Variables: Match.objectLike({ KEYROTA_CONFIG: 'ssm:/keyrota/config' }) } });
  made.hasResourceProperties('AWS::Events::Rule', { EventPattern: Match.objectLike({ detail: { labelUpdated: ['AWSCURRENT'], name: [{ prefix: 'keyrota/' }] } }) });
});

test('in S3, the role may read that object alone', () => {
  const stack = aStack();
  const bucket = Bucket.fromBucketName(stack, 'Bucket', 'config');
  new AccessKeyRotation(stack, 'Rotation', {
    code: code(stack),
    configuration: { bucket, objectKey: 'keyrota.yaml', userArns: ['arn:aws:iam::123456789012:user/ci/*'] },
  });
  const made = Template.fromStack(stack);
  expect(actions(policies(made, 'Delete').filter((one) => JSON.stringify(one.Resource).includes('config/keyrota.yaml')))).toEqual(['s3:GetObject']);
});

test.each([
  [SyncTrigger.NATIVE, 3],
  [SyncTrigger.CLOUDTRAIL, 4],
  [SyncTrigger.BOTH, 5],
])('trigger %s has %d rules', (trigger, rules) => {
  template({ trigger }).resourceCountIs('AWS::Events::Rule', rules);
});

describe('events by CloudTrail', () => {
  const patternsOf = (made: Template): any[] =>
    (Object.values(made.findResources('AWS::Events::Rule')) as any[]).map((one) => one.Properties.EventPattern).filter((one) => one['detail-type'].some((type: string) => type.includes('CloudTrail')) && one.source[0] === 'aws.secretsmanager');
  const arn = (name: string, account = '123456789012'): any => ({ prefix: { 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, `:secretsmanager:eu-central-1:${account}:secret:${name}`]] } });
  const users = (stack: Stack, count: number): any[] => [...Array(count).keys()].map((number) => ({ user: User.fromUserName(stack, `Many${number}`, `ci-${number}`), targets: [] }));

  test('are of our secrets alone, by name, by ARN and by a part of it', () => {
    const called = ['keyrota/ci-deploy/access-key', arn('keyrota/ci-deploy/access-key')];
    const [calls, rotated] = patternsOf(template({ trigger: SyncTrigger.CLOUDTRAIL })).map((one) => one.detail);
    expect(calls.requestParameters).toEqual({ secretId: called });
    expect(rotated.$or).toEqual([{ additionalEventData: { SecretId: called } }, { serviceEventDetails: { secretId: called } }]);
  });

  test('are of the common beginning of the names where there is no room for all', () => {
    const stack = aStack();
    aRotation(stack, { trigger: SyncTrigger.CLOUDTRAIL, credentials: users(stack, 40) });
    const [calls, rotated] = patternsOf(Template.fromStack(stack)).map((one) => one.detail);
    expect(calls.requestParameters.secretId).toEqual([{ prefix: 'keyrota/ci-' }, arn('keyrota/ci-')]);
    expect(rotated.$or[0].additionalEventData.SecretId).toEqual([{ prefix: 'keyrota/ci-' }, arn('keyrota/ci-')]);
  });

  test('are of any secret only where the names have nothing in common', () => {
    const stack = aStack();
    const credentials = users(stack, 40).map((one, number) => ({ ...one, secretName: `${number % 10}-${number}-access-key` }));
    aRotation(stack, { trigger: SyncTrigger.CLOUDTRAIL, credentials });
    for (const { detail } of patternsOf(Template.fromStack(stack))) {
      expect(Object.keys(detail).sort()).toEqual(detail.errorCode ? ['errorCode', 'eventName', 'eventSource'] : ['eventName', 'eventSource']);
    }
  });

  test("name a member's secret by the ARN of its account", () => {
    const stack = aStack();
    const user = User.fromUserArn(stack, 'Member', 'arn:aws:iam::210987654321:user/ci-member');
    aRotation(stack, { trigger: SyncTrigger.CLOUDTRAIL, credentials: [{ user, targets: [SHOP], account: '210987654321', role: 'keyrota-{duty}' }] });
    const [calls] = patternsOf(Template.fromStack(stack));
    expect(calls.detail.requestParameters.secretId).toContainEqual(arn('keyrota/ci-member/access-key', '210987654321'));
  });

  test.each([1, 5, 6, 10, 11, 40])('end before EventBridge does: %d users', (count) => {
    const stack = aStack();
    aRotation(stack, { trigger: SyncTrigger.BOTH, credentials: users(stack, count) });
    for (const rule of Object.values(Template.fromStack(stack).findResources('AWS::Events::Rule')) as any[]) {
      const text = JSON.stringify(rule.Properties.EventPattern, (_, value) => (value?.['Fn::Join'] ? value['Fn::Join'][1].map((part: any) => (typeof part === 'string' ? part : 'aws-us-gov')).join('') : value));
      expect(text.length).toBeLessThanOrEqual(2048);
    }
  });
});

test('failed events and messages end in the dead-letter queue, and an alarm rings', () => {
  const made = template();
  made.hasResourceProperties('AWS::SQS::Queue', { RedrivePolicy: Match.objectLike({ maxReceiveCount: 5 }), VisibilityTimeout: 5400 });
  made.hasResourceProperties('AWS::Lambda::EventSourceMapping', { FunctionResponseTypes: ['ReportBatchItemFailures'], ScalingConfig: { MaximumConcurrency: 2 } });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'ApproximateNumberOfMessagesVisible' });
  for (const duty of ['sync', 'deactivate', 'delete']) {
    made.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'DaysOverdue', Threshold: 2, Statistic: 'Maximum', Dimensions: Match.arrayWith([{ Name: 'Function', Value: duty }]),
    });
  }
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'ValuesRefused', Threshold: 0, Period: 300 });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'Torn', Threshold: 0, Period: 300, Statistic: 'Maximum', EvaluationPeriods: 1, TreatMissingData: 'notBreaching' });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'Departed', Threshold: 0, Dimensions: Match.arrayWith([{ Name: 'Function', Value: 'sync' }]) });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'TokenDaysLeft', Threshold: 14, ComparisonOperator: 'LessThanThreshold' });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'HeldWithoutEnd', EvaluationPeriods: 7 });
  made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'Errors', Threshold: 0, EvaluationPeriods: 2, DatapointsToAlarm: 2 });
});

test('silence is an alarm: each scheduled duty has a heartbeat, and missing data is breaching', () => {
  const made = template();
  const silent = { TreatMissingData: 'breaching', ComparisonOperator: 'LessThanThreshold', Threshold: 1, Period: 43200, EvaluationPeriods: 3, DatapointsToAlarm: 3 };
  const alarms = Object.entries(made.findResources('AWS::CloudWatch::Alarm', { Properties: silent }));
  expect(alarms.map(([name]) => name.replace(/.*Alarms/, '').replace(/Silent.*/, '')).sort()).toEqual(['Deactivate', 'Delete', 'Rotate', 'Sync']);
  // sync is invoked by events too: only its daily run measures all credentials
  expect(alarms.map(([, alarm]) => alarm.Properties.MetricName).sort()).toEqual(['Credentials', 'Invocations', 'Invocations', 'Invocations']);
});

test.each([35, 12, 180, 36.5])('a heartbeat of %d hours is refused', (heartbeatHours) => {
  expect(() => template({ schedules: { heartbeatHours } })).toThrow('heartbeatHours');
});

test('emergency auto adds a function with a role of its own; alarm does not', () => {
  template().resourceCountIs('AWS::Lambda::Function', 5);
  const made = template({ emergency: EmergencyMode.AUTO });
  made.resourceCountIs('AWS::Lambda::Function', 6);
  made.resourceCountIs('AWS::Events::Rule', 4);
  const about = policies(made, 'Emergency').filter((one) => JSON.stringify(one.Resource).includes('ci-deploy'));
  expect(actions(about)).toEqual([...ACTIONS.emergency].sort());
});

test("Secrets Manager may call the rotation function of this account only", () => {
  const made = template({ secretsManagerRotation: true });
  made.hasResourceProperties('AWS::Lambda::Permission', { Principal: 'secretsmanager.amazonaws.com', SourceAccount: { Ref: 'AWS::AccountId' } });
});

test('members are entered by the role of each duty', () => {
  const stack = aStack();
  aRotation(stack, {
    credentials: [
      { user: User.fromUserArn(stack, 'Member', 'arn:aws:iam::210987654321:user/ci-member'), targets: [SHOP], account: '210987654321', role: 'keyrota-{duty}', externalId: 'acme' },
    ],
  });
  const made = Template.fromStack(stack);
  const [assume] = policies(made, 'Delete').filter((one) => one.Action === 'sts:AssumeRole');
  expect(JSON.stringify(assume.Resource)).toContain(':iam::210987654321:role/keyrota-delete');
});

test('a key of your own is used everywhere, and by the secrets service only', () => {
  const stack = aStack();
  aRotation(stack, { encryptionKey: new Key(stack, 'Key'), alarmsTopic: new Topic(stack, 'Topic') });
  const made = Template.fromStack(stack);
  made.allResourcesProperties('AWS::SQS::Queue', { KmsMasterKeyId: Match.anyValue() });
  made.allResourcesProperties('AWS::Logs::LogGroup', { KmsKeyId: Match.anyValue() });
  const [use] = policies(made, 'Sync').filter((one) => one.Condition?.StringEquals?.['kms:ViaService']);
  expect(use.Action).toBe('kms:Decrypt');
});

test('a fleet is a map over a manifest, with bounds, and results in S3', () => {
  const made = template({ fleet: { maxConcurrency: 7, toleratedFailurePercentage: 5 } });
  const [machine] = Object.values(made.findResources('AWS::StepFunctions::StateMachine')) as any[];
  const text = machine.Properties.DefinitionString['Fn::Join'][1].map((part: any) => (typeof part === 'string' ? part : 'x')).join('');
  const map = JSON.parse(text).States.EachShard;
  expect(map).toMatchObject({ MaxConcurrency: 7, ToleratedFailurePercentage: 5, ItemProcessor: { ProcessorConfig: { Mode: 'DISTRIBUTED' } } });
  expect(map.ItemReader.ReaderConfig.InputType).toBe('JSON');
  expect(map.ResultWriter.Parameters.Prefix).toBe('results');
  expect(map.ItemProcessor.States.DoRotate.Retry[0]).toMatchObject({ JitterStrategy: 'FULL', BackoffRate: 2 });
  made.hasResourceProperties('AWS::Scheduler::Schedule', { Target: Match.objectLike({ Input: '{"duty":"rotate"}' }) });
});

test('metrics have the name and the dimensions that the functions write', () => {
  const stack = aStack();
  const rotation = aRotation(stack);
  expect(rotation.metricDaysOverdue()).toMatchObject({ namespace: 'keyrota', metricName: 'DaysOverdue', dimensions: { Stack: 'keyrota@eu-central-1/123456789012', Function: 'sync' } });
  expect(rotation.metricTokenDaysLeft()).toMatchObject({ statistic: 'Minimum' });
  expect(rotation.metricSyncLag()).toMatchObject({ metricName: 'SyncLag' });
});

test('grantSync lets somebody start sync, and nothing else', () => {
  const stack = aStack();
  const rotation = aRotation(stack);
  const user = new User(stack, 'Person');
  rotation.grantSync(user);
  Template.fromStack(stack).hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: Match.objectLike({ Statement: [Match.objectLike({ Action: 'lambda:InvokeFunction' })] }),
  });
});

test('more than 200 credentials in one call are warned about', () => {
  const stack = aStack();
  const many = [...Array(201).keys()].map((number) => ({
    user: new User(stack, `User${number}`),
    targets: [new BitbucketDeployment({ workspace: 'w', repository: `r${number}`, environment: 'e' })],
  }));
  expect(() => aRotation(stack, { credentials: many })).toThrow(/too many for a role's policy/);
  const few = many.slice(0, 3);
  aRotation(aStack(), { credentials: few.map((one, number) => ({ ...one, user: User.fromUserName(aStack(), `x${number}`, `u${number}`) })) });
  Annotations.fromStack(stack).hasNoWarning('*', Match.anyValue());
});

describe('bad input is refused at synthesis, and named', () => {
  const user = (stack: Stack, name = 'ci-deploy'): any => User.fromUserName(stack, `Import${name}`, name);
  const cases: [string, (stack: Stack) => Partial<AccessKeyRotationProps>, RegExp][] = [
    ['a target without its provider', (stack) => ({ credentials: [{ user: user(stack), targets: [new GitHubSecret({ repository: 'acme/shop' })] }] }), /providers\.github.*is missing/],
    ['one user twice', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP] }, { user: User.fromUserName(stack, 'Again', 'ci-deploy'), targets: [] }] }), /the user is given twice/],
    ['one target twice', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP] }, { user: user(stack, 'other'), targets: [SHOP] }] }), /is given twice, also for ci-deploy/],
    ['ages in the wrong order', () => ({ policy: { rotateAfter: Duration.days(90), deactivateAfter: Duration.days(80) } }), /each age must be larger/],
    ['a secret name that AWS refuses', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP], secretName: 'a b' }] }), /is no name for a secret/],
    ['a role without an account', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP], role: 'x' }] }), /belong together/],
    ['an external ID without a role', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP], externalId: 'x' }] }), /needs a role/],
    ['a reader that is nobody', (stack) => ({ credentials: [{ user: user(stack), targets: [SHOP], secretReaders: ['acme'] }] }), /"acme" is no reader of a secret/],
    ['no schedule', () => ({ schedules: { rotate: 'daily' } }), /schedules\.rotate: "daily" is no schedule/],
    ['no window', () => ({ schedules: { flexibleMinutes: 0 } }), /flexibleMinutes is 0/],
    ['an empty shard', () => ({ fleet: { shardSize: 0 } }), /shardSize is 0/],
    ['a share over all', () => ({ fleet: { toleratedFailurePercentage: 101 } }), /from 0 to 100/],
    ['nothing at all', () => ({ credentials: [] }), /give `credentials`/],
    ['two configurations', (stack) => ({ configuration: { parameter: StringParameter.fromStringParameterName(stack, 'P', '/x'), userArns: [] } }), /give either/],
  ];
  test.each(cases)('%s', (_, props, words) => {
    const stack = aStack();
    expect(() => aRotation(stack, props(stack))).toThrow(words);
  });

  test.each([
    [() => new GitHubSecret({}), /either a repository/],
    [() => new GitHubSecret({ repository: 'shop' }), /must be "owner\/name"/],
    [() => new GitHubSecret({ organization: 'acme', environment: 'x' }), /environment belongs to/],
    [() => new GitLabVariable({}), /name one of/],
    [() => new GitLabVariable({ instance: true, environmentScope: 'x' }), /no environment scope/],
  ])('a target (%#)', (make, words) => {
    expect(make).toThrow(words);
  });
});

test('each kind of target has the entry that keyrota reads', () => {
  expect(new GitHubSecret({ repository: 'acme/shop', environment: 'production', marker: true }).entry()).toEqual({
    provider: 'github',
    settings: { repository: 'acme/shop', environment: 'production', marker: true },
  });
  expect(new GitLabVariable({ project: 'a/b', environmentScope: 'production', isProtected: true, idVariable: 'ID' }).entry()).toEqual({
    provider: 'gitlab',
    settings: { project: 'a/b', environment_scope: 'production', protected: true, names: { id: 'ID' } },
  });
  expect(new OtherTarget({ provider: 'circleci', settings: { project: 'gh/a/b' } }).entry()).toEqual({ provider: 'circleci', settings: { project: 'gh/a/b' } });
});
