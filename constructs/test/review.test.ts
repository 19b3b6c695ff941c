import { App, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { Vpc } from 'aws-cdk-lib/aws-ec2';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { ManagedPolicy, User } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import {
  AccessKeyRotation,
  AccessKeyRotationProps,
  BitbucketDeployment,
  EmergencyMode,
  GitHubSecret,
  GitLabVariable,
  IamEventsForwarder,
  MemberRoles,
  OtherTarget,
  RotatedCredential,
  SyncTrigger,
} from '../lib';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const { texts } = require('../templates/write.js');

const HOME = '123456789012';
const AWAY = '210987654321';

function aStack(app = new App(), id = 'keyrota'): Stack {
  return new Stack(app, id, { env: { account: HOME, region: 'eu-central-1' } });
}

function code(stack: Stack): Code {
  const known = stack.node.tryFindChild('Code') as any;
  return Code.fromBucket(known ?? Bucket.fromBucketName(stack, 'Code', 'code'), 'keyrota.zip');
}

function place(name: string): BitbucketDeployment {
  return new BitbucketDeployment({ workspace: 'acme', repository: name, environment: 'production' });
}

function aUser(stack: Stack, name: string, more: Partial<RotatedCredential> = {}): RotatedCredential {
  return { user: User.fromUserName(stack, `User-${name}-${more.account ?? ''}`, name), targets: [place(`${name}${more.account ?? ''}`)], ...more };
}

function aRotation(stack: Stack, props: Partial<AccessKeyRotationProps> = {}, id = 'Rotation'): AccessKeyRotation {
  return new AccessKeyRotation(stack, id, {
    code: code(stack),
    providers: { bitbucket: { token: Secret.fromSecretNameV2(stack, `Token${id}`, 'tokens/bitbucket') } },
    ...props,
    credentials: props.credentials ?? [aUser(stack, 'ci-deploy')],
  });
}

function template(props: (stack: Stack) => Partial<AccessKeyRotationProps> = () => ({})): Template {
  const stack = aStack();
  aRotation(stack, props(stack));
  return Template.fromStack(stack);
}

function resources(made: Template, type: string): [string, any][] {
  return Object.entries(made.findResources(type)).map(([name, one]) => [name, one.Properties]);
}

function statementsOf(made: Template, role: RegExp): any[] {
  return resources(made, 'AWS::IAM::Policy')
    .filter(([, policy]) => policy.Roles.some((one: any) => role.test(one.Ref)))
    .flatMap(([, policy]) => policy.PolicyDocument.Statement);
}

function mayOn(statements: any[], action: string, resource: string): boolean {
  return statements.some((one) => [one.Action].flat().includes(action) && JSON.stringify(one.Resource).includes(resource));
}

function configuration(made: Template): any {
  const [[, parameter]] = resources(made, 'AWS::SSM::Parameter');
  const value = parameter.Value['Fn::Join'] ? parameter.Value['Fn::Join'][1] : [parameter.Value];
  return JSON.parse(value.map((part: any) => (typeof part === 'string' ? part : JSON.stringify(part).replace(/"/g, "'"))).join(''));
}

function emptyLists(value: any): boolean {
  return Array.isArray(value) ? !value.length || value.some(emptyLists) : typeof value === 'object' && value !== null && Object.values(value).some(emptyLists);
}

describe('the boundary', () => {
  test('is on every role, those that CDK makes too', () => {
    const made = template((stack) => ({
      permissionsBoundary: ManagedPolicy.fromManagedPolicyName(stack, 'Boundary', 'limits'),
      emergency: EmergencyMode.AUTO,
      secretsManagerRotation: true,
      fleet: {},
    }));
    const bare = resources(made, 'AWS::IAM::Role').filter(([, role]) => !role.PermissionsBoundary);
    expect(bare.map(([name]) => name)).toEqual([]);
  });
});

describe('a key of your own', () => {
  const made = template((stack) => ({ encryptionKey: new Key(stack, 'Key'), fleet: {} }));

  test('encrypts the secrets that keyrota makes', () => {
    expect(configuration(made).credentials[0].kms_key).toContain('Key');
  });

  test("does not encrypt a member's secret: its account has no part in that key", () => {
    const stack = aStack();
    aRotation(stack, { encryptionKey: new Key(stack, 'Key'), credentials: [aUser(stack, 'ci', { account: AWAY, role: 'keyrota-{duty}' })] });
    expect(configuration(Template.fromStack(stack)).credentials[0].kms_key).toBeUndefined();
  });

  test('who may read a secret from outside is in the configuration, and nobody unless named', () => {
    const stack = aStack();
    aRotation(stack, { credentials: [aUser(stack, 'ci', { secretReaders: [AWAY, 'o-abcdefghij'] })] });
    expect(configuration(Template.fromStack(stack)).credentials[0].secret_readers).toEqual([AWAY, 'o-abcdefghij']);
    expect(configuration(made).credentials[0].secret_readers).toBeUndefined();
  });

  test.each(['Rotate', 'Sync', 'Deactivate', 'Delete', 'Watch'])('lets %s send a failed event to the dead-letter queue', (name) => {
    const statements = statementsOf(made, new RegExp(`^Rotation${name}Role`)).filter((one) => !one.Condition);
    expect(mayOn(statements, 'sqs:SendMessage', 'DeadLetters')).toBe(true);
    expect(mayOn(statements, 'kms:GenerateDataKey', 'Key')).toBe(true);
    expect(mayOn(statements, 'kms:Decrypt', 'Key')).toBe(true);
  });

  test('lets the state machine read the manifest and write results', () => {
    const statements = statementsOf(made, /FleetStateMachineRole/);
    expect(mayOn(statements, 'kms:Decrypt', 'Key')).toBe(true);
    expect(mayOn(statements, 'kms:GenerateDataKey', 'Key')).toBe(true);
  });

  test('lets EventBridge and the log service in, for this account only', () => {
    const [[, key]] = resources(made, 'AWS::KMS::Key');
    const by = (service: string): any => key.KeyPolicy.Statement.find((one: any) => one.Principal.Service === service);
    expect(by('events.amazonaws.com').Condition.StringEquals['aws:SourceAccount']).toEqual(HOME);
    expect(JSON.stringify(by('logs.eu-central-1.amazonaws.com').Condition)).toContain('kms:EncryptionContext:aws:logs:arn');
  });

  test('that is imported has a policy that cannot be changed here: said at synthesis', () => {
    const stack = aStack();
    aRotation(stack, { encryptionKey: Key.fromKeyArn(stack, 'Key', `arn:aws:kms:eu-central-1:${HOME}:key/11111111-2222-3333-4444-555555555555`) });
    Annotations.fromStack(stack).hasWarning('*', Match.stringLikeRegexp('events\\.amazonaws\\.com'));
  });

  test('and a topic without one: said at synthesis', () => {
    const warnings = (masterKey: boolean): any[] => {
      const stack = aStack();
      const key = new Key(stack, 'Key');
      aRotation(stack, { encryptionKey: key, alarmsTopic: new Topic(stack, 'Topic', masterKey ? { masterKey: key } : {}) });
      return Annotations.fromStack(stack).findWarning('*', Match.stringLikeRegexp('alarmsTopic is not encrypted'));
    };
    expect([warnings(false).length, warnings(true).length]).toEqual([1, 0]);
  });

  test('may be in another stack', () => {
    const app = new App();
    const other = aStack(app, 'keys');
    const stack = aStack(app);
    aRotation(stack, { encryptionKey: new Key(other, 'Key'), alarmsTopic: new Topic(other, 'Topic'), eventBus: new EventBus(other, 'Bus'), fleet: {} });
    expect(() => app.synth()).not.toThrow();
  });
});

test('a bus of your own is named by its ARN: a name means a bus of this account', () => {
  const made = template((stack) => ({ eventBus: EventBus.fromEventBusArn(stack, 'Central', `arn:aws:events:eu-central-1:${AWAY}:event-bus/central`) }));
  made.allResourcesProperties('AWS::Lambda::Function', {
    Environment: { Variables: Match.objectLike({ KEYROTA_EVENT_BUS: `arn:aws:events:eu-central-1:${AWAY}:event-bus/central` }) },
  });
});

describe('users', () => {
  test('of one name may live in two accounts', () => {
    const stack = aStack();
    const role = 'keyrota-{duty}';
    expect(() => aRotation(stack, { credentials: [aUser(stack, 'ci', { account: AWAY, role }), aUser(stack, 'ci', { account: '333333333333', role })] })).not.toThrow();
  });

  test('of other accounts only: no rule has an empty list, which EventBridge refuses', () => {
    const stack = aStack();
    aRotation(stack, { trigger: SyncTrigger.BOTH, credentials: [aUser(stack, 'ci', { account: AWAY, role: 'keyrota-{duty}' })] });
    for (const [, rule] of resources(Template.fromStack(stack), 'AWS::Events::Rule')) {
      expect(emptyLists(rule.EventPattern)).toBe(false);
    }
  });

  test('made in the same stack are named by reference, and nothing goes in a circle', () => {
    const stack = aStack();
    const key = new Key(stack, 'Key');
    const user = new User(stack, 'Made');
    aRotation(stack, { credentials: [{ user, targets: [place('x')] }], encryptionKey: key, alarmsTopic: new Topic(stack, 'Topic', { masterKey: key }), fleet: {}, vpc: new Vpc(stack, 'Vpc') });
    expect(configuration(Template.fromStack(stack)).credentials[0].user).toContain('Made');
  });

  test('with a path are named without it, and allowed with it', () => {
    const made = template((stack) => ({ credentials: [{ user: User.fromUserName(stack, 'U', 'ci/deploy'), targets: [] }] }));
    expect(configuration(made).credentials[0].user).toBe('deploy');
    expect(mayOn(statementsOf(made, /^RotationRotateRole/), 'iam:CreateAccessKey', ':user/ci/deploy')).toBe(true);
  });

  test.each<[string, (stack: Stack) => RotatedCredential[], RegExp]>([
    ['in another account without a role', (s) => [{ user: User.fromUserArn(s, 'U', `arn:aws:iam::${AWAY}:user/ci`), targets: [] }], /lives in the account 210987654321/],
    ['in another account than said', (s) => [{ user: User.fromUserArn(s, 'U', 'arn:aws:iam::333333333333:user/ci'), targets: [], account: AWAY, role: 'r-{duty}' }], /lives in the account 333333333333/],
    ['a pattern for a name', (s) => [{ user: User.fromUserName(s, 'U', '*'), targets: [] }], /no name of an IAM user/],
    ['an account that is none', (s) => [aUser(s, 'ci', { account: 'prod', role: 'r-{duty}' })], /must have 12 digits/],
    ['one secret for two', (s) => [aUser(s, 'a', { secretName: 'shared' }), aUser(s, 'b', { secretName: 'shared' })], /secret "shared" is given twice/],
    ['one variable for two, written in two ways', (s) => [
      { ...aUser(s, 'a'), targets: [new BitbucketDeployment({ workspace: 'acme', repository: 'shop', environment: 'p' })] },
      { ...aUser(s, 'b'), targets: [new BitbucketDeployment({ workspace: 'Acme', repository: 'shop', environment: 'p', waitForIdle: '10m', secretVariable: 'OTHER' })] },
    ], /AWS_ACCESS_KEY_ID is given twice, also for a/],
  ])('%s is refused', (_, credentials, words) => {
    const stack = aStack();
    expect(() => aRotation(stack, { credentials: credentials(stack) })).toThrow(words);
  });
});

describe('policies', () => {
  test('of one user inherit the ages of the construct', () => {
    const made = template((stack) => ({
      policy: { rotateAfter: Duration.days(75), deactivateAfter: Duration.days(87), deleteAfter: Duration.days(97), adoptNow: true },
      credentials: [aUser(stack, 'ci', { policy: { proveUse: true, adoptNow: false } })],
    }));
    expect(configuration(made).credentials[0].policy).toEqual({ rotate_after: '75d', deactivate_after: '87d', delete_after: '97d', adopt: 'when-due', prove_use: true });
  });

  test.each([
    [{ unusedFor: Duration.minutes(30) }, /whole hours/],
    [{ rotateAfter: Duration.days(15) }, /two slots/],
    [{ unusedFor: Duration.days(11) }, /longer than the overlap/],
  ])('that keyrota would refuse are refused at synthesis (%#)', (policy, words) => {
    expect(() => template(() => ({ policy }))).toThrow(words);
  });

  test('for many users by name end before IAM and EventBridge do', () => {
    const stack = new Stack(new App(), 'anywhere');
    const made = (count: number): RotatedCredential[] => [...Array(count).keys()].map((number) => ({ user: new User(stack, `Made${count}-${number}`), targets: [] }));
    expect(() => aRotation(stack, { credentials: made(70) })).toThrow(/too many/);
    const few = aStack();
    aRotation(few, { credentials: [...Array(58).keys()].map((number) => aUser(few, `ci-deploy-shop-${number}`, { targets: [] })) });
    for (const [name, rule] of resources(Template.fromStack(few), 'AWS::Events::Rule')) {
      expect([name, JSON.stringify(rule.EventPattern).length <= 2048]).toEqual([name, true]);
    }
  });
});

describe('other providers', () => {
  const target = new OtherTarget({ provider: 'circleci', settings: { project: 'gh/a/b' } });

  test('need their settings as well, or keyrota refuses the whole configuration', () => {
    expect(() => template((stack) => ({ credentials: [aUser(stack, 'ci', { targets: [target] })] }))).toThrow(/providers\.others/);
  });

  test('are written, and their tokens may be read', () => {
    const made = template((stack) => {
      const token = Secret.fromSecretNameV2(stack, 'Circle', 'tokens/circleci');
      const settings = { auth: { token: `secretsmanager:${token.secretArn}` } };
      return { credentials: [aUser(stack, 'ci', { targets: [target] })], providers: { others: [{ provider: 'circleci', settings, tokens: [token] }] } };
    });
    expect(configuration(made).providers.circleci.auth.token).toContain('tokens/circleci');
    expect(mayOn(statementsOf(made, /^RotationSyncRole/), 'secretsmanager:GetSecretValue', 'tokens/circleci')).toBe(true);
  });
});

test.each([
  [() => new GitHubSecret({ organization: 'acme', waitForIdle: '10m' }), /waitForIdle/],
  [() => new GitHubSecret({ repository: 'a/b', dependabot: true, marker: true }), /Dependabot/],
  [() => new GitLabVariable({ group: 'acme', waitForIdle: '10m' }), /waitForIdle/],
  [() => new BitbucketDeployment({ workspace: 'a', repository: 'b', environment: 'c', idVariable: 'X', secretVariable: 'X' }), /two names/],
  [() => new GitLabVariable({ project: 'a/b', idVariable: 'AWS KEY' }), /no name for a variable/],
])('a target that keyrota would refuse is refused at synthesis (%#)', (make, words) => {
  expect(make).toThrow(words);
});

describe('a stored configuration', () => {
  const stored = (more: any): Template => {
    const stack = aStack();
    const parameter = StringParameter.fromSecureStringParameterAttributes(stack, 'P', { parameterName: '/keyrota/config', encryptionKey: Key.fromKeyArn(stack, 'K', `arn:aws:kms:eu-central-1:${HOME}:key/secure`) });
    new AccessKeyRotation(stack, 'Rotation', { code: code(stack), configuration: { parameter, userArns: [`arn:aws:iam::${HOME}:user/ci/*`], ...more } });
    return Template.fromStack(stack);
  };

  test('that is encrypted can be read', () => {
    expect(mayOn(statementsOf(stored({}), /^RotationDeleteRole/), 'kms:Decrypt', 'key/secure')).toBe(true);
  });

  test("lets each function into its own duty's role in a member account only", () => {
    const statements = statementsOf(stored({ memberRoleArns: [`arn:aws:iam::${AWAY}:role/keyrota-{duty}`] }), /^RotationRotateRole/);
    expect(statements.find((one) => one.Action === 'sts:AssumeRole').Resource).toBe(`arn:aws:iam::${AWAY}:role/keyrota-rotate`);
  });

  test.each([
    [{ userArns: [] }, /no user/],
    [{ userArns: ['*'] }, /every user/],
    [{ userArns: [`arn:aws:iam::${HOME}:user/*`] }, /every user/],
  ])('that names nobody or everybody is refused (%#)', (more, words) => {
    expect(() => stored(more)).toThrow(words);
  });
});

describe('two in one stack', () => {
  test('would take each other for themselves: refused', () => {
    const stack = aStack();
    aRotation(stack);
    expect(() => aRotation(stack, { credentials: [aUser(stack, 'other')] }, 'Second')).toThrow(/give one of them `keeper`/);
  });

  test('with two names have their own tags and metrics', () => {
    const stack = aStack();
    aRotation(stack);
    const second = aRotation(stack, { keeper: 'second', credentials: [aUser(stack, 'other')] }, 'Second');
    expect(second.metricDaysOverdue()).toMatchObject({ dimensions: { Stack: `second@eu-central-1/${HOME}` } });
    expect(() => Template.fromStack(stack)).not.toThrow();
  });
});

describe('alarms', () => {
  test('reach the topic: a policy of its own takes the place of the one that lets the account publish', () => {
    const made = template((stack) => ({ alarmsTopic: new Topic(stack, 'Topic', { enforceSSL: true }) }));
    made.hasResourceProperties('AWS::SNS::TopicPolicy', {
      PolicyDocument: Match.objectLike({
        Statement: Match.arrayWith([Match.objectLike({ Effect: 'Allow', Action: 'sns:Publish', Principal: { Service: 'cloudwatch.amazonaws.com' } })]),
      }),
    });
  });

  test('reach a topic that is encrypted', () => {
    const made = template((stack) => ({ alarmsTopic: new Topic(stack, 'Topic', { masterKey: new Key(stack, 'TopicKey') }) }));
    const [[, key]] = resources(made, 'AWS::KMS::Key');
    expect(key.KeyPolicy.Statement.map((one: any) => one.Principal.Service)).toContain('cloudwatch.amazonaws.com');
  });

  test('reach a topic whose key is imported only if that key lets them: said at synthesis', () => {
    const stack = aStack();
    const masterKey = Key.fromKeyArn(stack, 'TopicKey', `arn:aws:kms:eu-central-1:${HOME}:key/11111111-2222-3333-4444-555555555555`);
    aRotation(stack, { alarmsTopic: new Topic(stack, 'Topic', { masterKey }) });
    Annotations.fromStack(stack).hasWarning('*', Match.stringLikeRegexp('cloudwatch\\.amazonaws\\.com'));
  });

  test('ring for a function that is not repeated, and fails once a day', () => {
    const [[, alarm]] = resources(template(), 'AWS::CloudWatch::Alarm').filter(([name]) => name.includes('RotateFails'));
    expect(alarm).toMatchObject({ Threshold: 0, EvaluationPeriods: 2, DatapointsToAlarm: 2 });
  });

  test('ring for a fleet: its executions, and credentials that fail in it', () => {
    const made = template(() => ({ fleet: {} }));
    made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'ExecutionsFailed', Namespace: 'AWS/States' });
    made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'ExecutionsTimedOut', Namespace: 'AWS/States' });
    made.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'Failed', Namespace: 'keyrota' });
  });
});

test('the scheduler may start the functions and send dead letters, and no more', () => {
  const statements = statementsOf(template(), /SchedulesRole/);
  expect(statements.flatMap((one) => one.Action).sort()).toEqual(['lambda:InvokeFunction', 'sqs:SendMessage']);
});

describe('the fleet', () => {
  test('may stop and redrive its own executions, by the ARNs that executions have', () => {
    const statements = statementsOf(template(() => ({ fleet: {} })), /FleetStateMachineRole/);
    for (const action of ['states:StopExecution', 'states:DescribeExecution', 'states:RedriveExecution']) {
      expect([action, mayOn(statements, action, ':execution:')]).toEqual([action, true]);
    }
  });

  test('may write below its prefix, and nowhere else in a bucket of yours', () => {
    const made = template((stack) => ({ fleet: { bucket: Bucket.fromBucketName(stack, 'Mine', 'mine-and-others') } }));
    for (const [, policy] of resources(made, 'AWS::IAM::Policy')) {
      for (const one of policy.PolicyDocument.Statement) {
        expect(JSON.stringify(one.Resource)).not.toMatch(/mine-and-others\/\*/);
      }
    }
    expect(mayOn(statementsOf(made, /FleetStateMachineRole/), 's3:PutObject', 'mine-and-others/results/*')).toBe(true);
  });

  test('without a bound is refused: 0 means 10,000 at once', () => {
    expect(() => template(() => ({ fleet: { maxConcurrency: 0 } }))).toThrow(/maxConcurrency is 0/);
  });
});

test("IAM's events are forwarded from the region where they arrive only", () => {
  expect(() => new IamEventsForwarder(new Stack(new App(), 's', { env: { region: 'eu-west-1' } }), 'F', { rotationRegion: 'eu-central-1' })).toThrow(/us-east-1/);
  expect(() => new IamEventsForwarder(new Stack(new App(), 's', { env: { region: 'us-gov-west-1' } }), 'F', { rotationRegion: 'us-gov-east-1' })).not.toThrow();
});

describe('roles of members', () => {
  const PROPS = { rotationAccount: AWAY, externalId: 'acme', userPattern: 'ci/*', functionRolePrefix: 'keyrota-eu-central-1-' };
  const trust = (more: object = {}): [string, any][] => {
    const stack = aStack();
    new MemberRoles(stack, 'Roles', { ...PROPS, ...more });
    return resources(Template.fromStack(stack), 'AWS::IAM::Role').map(([, one]) => {
      const statements = one.AssumeRolePolicyDocument.Statement;
      expect(statements).toHaveLength(1);
      return [one.RoleName, statements[0]];
    });
  };

  test('each trusts exactly one role, by its whole name, with the external ID', () => {
    const made = template(() => ({ secretsManagerRotation: true, emergency: EmergencyMode.AUTO, functionRolePrefix: 'keyrota-eu-central-1-' }));
    const functions = resources(made, 'AWS::IAM::Role').map(([, one]) => one.RoleName).filter(Boolean);
    const found = trust();
    expect(found.map(([name]) => name).sort()).toEqual(['deactivate', 'delete', 'emergency', 'rotate', 'rotation', 'sync', 'watch'].map((duty) => `keyrota-${duty}`));
    for (const [name, statement] of found) {
      const caller = `keyrota-eu-central-1-${name.replace('keyrota-', '')}`;
      expect(functions).toContain(caller);
      expect(Object.keys(statement.Condition).sort()).toEqual(['ArnEquals', 'StringEquals']);
      expect(statement.Condition.StringEquals).toEqual({ 'sts:ExternalId': 'acme' });
      expect(JSON.stringify(statement.Condition.ArnEquals)).toContain(`:iam::${AWAY}:role/${caller}"`);
      expect(JSON.stringify(statement)).not.toMatch(/[*?]/);
    }
  });

  test('an organization is looked at where one is given', () => {
    for (const [, statement] of trust({ organizationId: 'o-a1b2c3d4e5' })) {
      expect(statement.Condition.StringEquals['aws:PrincipalOrgID']).toBe('o-a1b2c3d4e5');
    }
  });

  test.each(['*', 'keyrota-*', 'key?ota-', '', 'path/keyrota-'])('%p is not the beginning of one name', (functionRolePrefix) => {
    expect(() => trust({ functionRolePrefix })).toThrow(/not the beginning of a role's name/);
  });

  test('everybody is no pattern', () => {
    expect(() => trust({ userPattern: '*' })).toThrow(/every user/);
  });

  test('a credential elsewhere has a role for each duty', () => {
    expect(() => template((stack) => ({ credentials: [aUser(stack, 'ci', { account: AWAY, role: 'keyrota' })] }))).toThrow(/one role for every function/);
  });

  test('the stack that everybody deploys: whole names, the external ID, an organization as wanted', () => {
    const made = JSON.parse(String(texts()['template-member.json']));
    for (const one of Object.values<any>(made.Resources).filter(({ Type }) => Type === 'AWS::IAM::Role')) {
      const { Condition } = one.Properties.AssumeRolePolicyDocument.Statement[0];
      expect(Condition.StringEquals['sts:ExternalId']).toEqual({ Ref: 'ExternalId' });
      expect(Condition.StringEquals['aws:PrincipalOrgID']['Fn::If'][0]).toBe('WithOrganization');
      expect(JSON.stringify(Condition.ArnEquals)).toContain('FunctionRolePrefix');
      expect(Condition.ArnLike).toBeUndefined();
    }
    const rotation = JSON.parse(String(texts()['template.json']));
    const names = Object.values<any>(rotation.Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function').map((one) => one.Properties.Handler.split('.')[3]);
    for (const duty of names) {
      expect(JSON.stringify(rotation.Resources)).toContain(`{"Ref":"AWS::Region"},"-${duty}"`);
    }
  });
});

describe('the templates', () => {
  const all = Object.entries(texts()).map(([name, text]): [string, any] => [name, JSON.parse(String(text))]);
  const rotations = all.filter(([, made]) => made.Parameters.UserPattern && made.Parameters.Trigger);

  test.each(rotations)('%s keeps users in the name of the stack that is deployed', (_, made) => {
    for (const one of Object.values<any>(made.Resources).filter((found) => found.Type === 'AWS::Lambda::Function')) {
      expect(JSON.stringify(one.Properties.Environment.Variables.KEYROTA_STACK)).toContain('AWS::StackName');
    }
  });

  test.each(rotations)('%s: every function that works on users may enter member accounts', (_, made) => {
    const roles = Object.values<any>(made.Resources)
      .filter((one) => one.Type === 'AWS::Lambda::Function' && !one.Properties.Handler.includes('.shard.'))
      .map((one) => one.Properties.Role['Fn::GetAtt'][0]);
    const entering = Object.values<any>(made.Resources)
      .filter((one) => one.Type === 'AWS::IAM::Policy' && JSON.stringify(one.Properties.PolicyDocument).includes('WithMembers'))
      .flatMap((one) => one.Properties.Roles.map((role: any) => role.Ref));
    expect(entering.sort()).toEqual(roles.sort());
  });

  test.each(rotations)('%s: alarms reach the topic', (_, made) => {
    const [policy] = Object.values<any>(made.Resources).filter((one) => one.Type === 'AWS::SNS::TopicPolicy');
    expect(JSON.stringify(policy)).toContain('cloudwatch.amazonaws.com');
  });

  const chosen = { 'Fn::If': ['MakesKey', { 'Fn::GetAtt': [expect.stringMatching(/^EncryptionKeyMade/), 'Arn'] }, { Ref: 'EncryptionKey' }] };
  const ofKind = (made: any, type: string): any[] => Object.values<any>(made.Resources).filter((one) => one.Type === type);
  const places: [string, (properties: any) => any][] = [
    ['AWS::SNS::Topic', (one) => one.KmsMasterKeyId],
    ['AWS::SQS::Queue', (one) => one.KmsMasterKeyId],
    ['AWS::Logs::LogGroup', (one) => one.KmsKeyId],
    ['AWS::Lambda::Function', (one) => one.KmsKeyArn],
    ['AWS::S3::Bucket', (one) => {
      const [keyed] = one.BucketEncryption.ServerSideEncryptionConfiguration;
      return { 'Fn::If': ['WithKey', keyed['Fn::If'][1].ServerSideEncryptionByDefault.KMSMasterKeyID, keyed['Fn::If'][2]] };
    }],
  ];
  test.each(rotations)('%s: a key that is given or made encrypts everything, and without one nothing of it is there', (_, made) => {
    for (const [type, keyOf] of places) {
      for (const one of ofKind(made, type)) {
        expect([type, keyOf(one.Properties)]).toEqual([type, { 'Fn::If': ['WithKey', chosen, { Ref: 'AWS::NoValue' }] }]);
      }
    }
    for (const { Properties } of ofKind(made, 'AWS::SQS::Queue')) {
      expect(Properties.SqsManagedSseEnabled).toEqual({ 'Fn::If': ['WithKey', { Ref: 'AWS::NoValue' }, true] });
    }
    for (const statement of ofKind(made, 'AWS::IAM::Policy').flatMap((one) => one.Properties.PolicyDocument.Statement)) {
      expect([JSON.stringify(statement).includes('kms:'), statement['Fn::If']?.[0] === 'WithKey']).toEqual([JSON.stringify(statement).includes('kms:'), JSON.stringify(statement).includes('kms:')]);
    }
  });

  test.each(rotations)('%s: the key that is made lets in who has to use it, and outlives the stack', (_, made) => {
    const [key] = ofKind(made, 'AWS::KMS::Key');
    const services = key.Properties.KeyPolicy.Statement.map((one: any) => JSON.stringify(one.Principal.Service ?? ''));
    for (const service of ['cloudwatch.amazonaws.com', 'events.amazonaws.com', 'logs.']) {
      expect(services.filter((one: string) => one.includes(service)).length).toBe(1);
    }
    expect(key).toMatchObject({ Condition: 'MakesKey', DeletionPolicy: 'Retain', Properties: { EnableKeyRotation: true } });
  });

  test.each(all)('%s: no function stands where CloudFormation takes none', (_, made) => {
    for (const one of Object.values<any>(made.Resources)) {
      expect(Object.keys(one.Properties ?? {}).filter((name) => name.startsWith('Fn::'))).toEqual([]);
    }
  });
});

describe('what AWS or keyrota would refuse later is refused at synthesis', () => {
  const of = (more: Partial<RotatedCredential>) => (stack: Stack): Partial<AccessKeyRotationProps> => ({ credentials: [aUser(stack, 'ci', { account: AWAY, role: 'keyrota-{duty}', ...more })] });
  test.each<[string, (stack: Stack) => Partial<AccessKeyRotationProps>, RegExp]>([
    ['a schedule of words', () => ({ schedules: { rotate: 'cron(every day)' } }), /schedules\.rotate: "cron\(every day\)" is no schedule/],
    ['a schedule that never comes', () => ({ schedules: { sync: 'rate(0 days)' } }), /schedules\.sync/],
    ['a time zone that is none', () => ({ schedules: { timezone: 'Mars/Olympus' } }), /Area\/City/],
    ['memory that Lambda does not give', () => ({ memoryMb: 64 }), /memoryMb is 64/],
    ['a trigger that is none', () => ({ trigger: 'sometimes' as SyncTrigger }), /trigger is "sometimes": one of native/],
    ['an emergency that is none', () => ({ emergency: 'maybe' as EmergencyMode }), /emergency is "maybe"/],
    ['no number', () => ({ fleet: { toleratedFailurePercentage: NaN } }), /from 0 to 100/],
    ['a keeper that no tag takes', () => ({ keeper: 'a,b<c>' }), /keeper is "a,b<c>"/],
    ['an external ID of one character', of({ externalId: 'x' }), /no external ID/],
    ['a role with a duty misspelt', of({ role: 'keyrota-{duti}' }), /is no role/],
    ['a role of a third account', of({ role: 'arn:aws:iam::333333333333:role/r-{duty}' }), /another account than 210987654321/],
    ['a provider given twice', (stack) => ({ providers: { bitbucket: { token: Secret.fromSecretNameV2(stack, 'T', 't') }, others: [{ provider: 'bitbucket' }] } }), /bitbucket is given twice/],
    ['a date that is none', (stack) => ({ providers: { bitbucket: { token: Secret.fromSecretNameV2(stack, 'T', 't'), expires: 'tomorrow' } } }), /write a date/],
  ])('%s', (_, props, words) => {
    const stack = aStack();
    expect(() => aRotation(stack, props(stack))).toThrow(words);
  });

  test.each([
    [() => new BitbucketDeployment({ workspace: '', repository: 'r', environment: 'e' }), /workspace must not be empty/],
    [() => new GitHubSecret({ repository: 'a/b', environment: ' ' }), /environment must not be empty/],
    [() => new GitLabVariable({ group: '' }), /group must not be empty/],
    [() => new BitbucketDeployment({ workspace: 'w', repository: 'r', environment: 'e', waitForIdle: 'soon' }), /such as 10m/],
    [() => new BitbucketDeployment({ workspace: 'w', repository: 'r', environment: 'e', waitForIdle: 'PT' }), /such as 10m/],
  ])('a target (%#)', (make, words) => {
    expect(make).toThrow(words);
  });

  test.each(['10m', '1d12h', 'PT10M', 'P1DT2H'])('quiet of %s is a duration', (quiet) => {
    expect(() => new BitbucketDeployment({ workspace: 'w', repository: 'r', environment: 'e', waitForIdle: quiet })).not.toThrow();
  });

  test.each(['cron(0 5 * * ? *)', 'rate(12 hours)', 'at(2026-12-24T18:00:00)'])('%s is a schedule', (rotate) => {
    expect(() => template(() => ({ schedules: { rotate, timezone: 'Europe/Berlin' } }))).not.toThrow();
  });

  const some = [`arn:aws:iam::${HOME}:user/ci/*`];
  test.each([
    [{ userArns: [...some, `arn:aws:iam::${HOME}:user/?*`] }, /every user/],
    [{ userArns: [...some, `arn:aws:iam::${HOME}:*`] }, /every user/],
    [{ userArns: some, secretArns: ['*'] }, /secretArns has "\*"/],
    [{ userArns: some, secretArns: [`arn:aws:secretsmanager:eu-central-1:${HOME}:secret:*`] }, /secretArns has/],
    [{ userArns: some, tokenSecretArns: [`arn:aws:secretsmanager:eu-central-1:${HOME}:secret:tokens/*`, '*'] }, /tokenSecretArns has "\*"/],
    [{ userArns: some, memberRoleArns: ['arn:aws:iam::*:role/*'] }, /memberRoleArns has/],
  ])('a stored configuration whose second element is everything (%#)', (more, words) => {
    const stack = aStack();
    const parameter = StringParameter.fromStringParameterName(stack, 'P', '/keyrota/config');
    expect(() => new AccessKeyRotation(stack, 'Rotation', { code: code(stack), configuration: { parameter, ...more } })).toThrow(words);
  });

  test('a configuration that no parameter holds', () => {
    const stack = aStack();
    const many = [...Array(40).keys()].map((number) => aUser(stack, `u${number}`, { targets: [1, 2, 3].map((target) => place(`repository-with-a-long-name-${number}-${target}`)) }));
    expect(() => aRotation(stack, { credentials: many })).toThrow(/a parameter of SSM holds 8192: store it in S3/);
  });
});
