// Writes the CloudFormation templates into keyrota's Python package.
// Run by `npm run templates`; `npm test` fails when they are out of date.
const fs = require('fs');
const path = require('path');
const {
  App, Aws, CfnCondition, CfnParameter, CfnResource, DefaultStackSynthesizer, Fn, RemovalPolicy, Stack,
} = require('aws-cdk-lib');
const { Key } = require('aws-cdk-lib/aws-kms');
const { Code } = require('aws-cdk-lib/aws-lambda');
const { RetentionDays } = require('aws-cdk-lib/aws-logs');
const { Topic } = require('aws-cdk-lib/aws-sns');
const { AccessKeyRotation, EmergencyMode, IamEventsForwarder, MemberRoles, SyncTrigger } = require('../lib');

const [KEY, WITH_KEY, MAKES_KEY] = ['EncryptionKeyMade', 'WithKey', 'MakesKey'];
const TARGET = path.join(__dirname, '..', '..', 'src', 'keyrota', 'app', 'deploy');

function parameter(stack, name, description, more = {}) {
  return new CfnParameter(stack, name, { type: 'String', description, ...more });
}

/** Makes the stack that everybody without CDK deploys: with a KMS key and without one, as the parameter says. */
function template({ fleet }) {
  return joined(oneTemplate({ fleet, isKeyed: true }), oneTemplate({ fleet, isKeyed: false }));
}

function oneTemplate({ fleet, isKeyed }) {
  const app = new App({ analyticsReporting: false, context: { 'aws:cdk:disable-asset-staging': true } });
  const stack = new Stack(app, fleet ? 'keyrota-fleet' : 'keyrota', {
    description: 'keyrota: AWS access keys in CI/CD that rotate themselves and never break a pipeline',
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
    analyticsReporting: false,
  });
  const bucket = parameter(stack, 'CodeBucket', 'Bucket that holds the code package');
  const key = parameter(stack, 'CodeKey', 'Key of the code package in that bucket');
  const config = parameter(stack, 'ConfigParameter', 'Name of the SSM parameter that holds keyrota.yaml', {
    default: '/keyrota/config', allowedPattern: '/[A-Za-z0-9_./-]+', constraintDescription: 'a name that begins with a slash',
  });
  const users = parameter(stack, 'UserPattern', 'The IAM users that may be rotated, as path and name: ci-* or ci/*', {
    allowedPattern: '[A-Za-z0-9_+=,.@/*?-]*[A-Za-z0-9][A-Za-z0-9_+=,.@/*?-]*',
    constraintDescription: 'a user name or a pattern of one; not every user of the account',
  });
  const prefix = parameter(stack, 'SecretPrefix', "What the names of the users' secrets begin with", {
    default: 'keyrota/', allowedPattern: '[A-Za-z0-9/_+=.@-]+', maxLength: 256, // four times in one pattern of 2,048 characters
  });
  const tokens = parameter(stack, 'TokenSecretPrefix', "What the names of the secrets with the providers' tokens begin with", {
    default: 'keyrota-tokens/', allowedPattern: '[A-Za-z0-9/_+=.@-]+',
  });
  const trigger = parameter(stack, 'Trigger', 'Which events announce a new secret value', {
    default: 'native', allowedValues: ['native', 'cloudtrail', 'both'],
  });
  const emergency = parameter(stack, 'Emergency', 'What happens when AWS finds a key in public', {
    default: 'alarm', allowedValues: ['alarm', 'auto'],
  });
  const email = parameter(stack, 'AlarmEmail', 'Where alarms are sent; empty: nowhere', { default: '' });
  const member = parameter(stack, 'MemberRoleName', 'Name of the roles in other accounts, {duty} is written as *; empty: there are none', {
    default: '', allowedPattern: '[A-Za-z0-9_+=,.@*-]*',
  });
  const encryption = parameter(stack, 'EncryptionKey', 'KMS key for alarms, queues, logs and environments, as ARN; create: a new one; empty: what AWS encrypts with, and nothing for alarms', {
    default: '', allowedPattern: '(create|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?',
    constraintDescription: 'the ARN of a key (not of an alias), or create, or nothing',
  });
  const allowed = parameter(stack, 'AllowedHosts', "Hosts that may receive tokens and keys besides the providers' own, separated by commas", {
    default: '', allowedPattern: '[A-Za-z0-9._:,\\[\\]-]*',
  });
  const sha256 = parameter(stack, 'ConfigSha256', 'SHA-256 of the configuration: the functions refuse another; empty: they take any', {
    default: '', allowedPattern: '([0-9a-f]{64})?',
  });
  const version = parameter(stack, 'CodeVersion', 'Version of the code package in its bucket; empty: the newest', { default: '' });
  new CfnCondition(stack, 'WithCodeVersion', { expression: Fn.conditionNot(Fn.conditionEquals(version.valueAsString, '')) });
  const isGiven = (value) => Fn.conditionEquals(encryption.valueAsString, value);
  new CfnCondition(stack, WITH_KEY, { expression: Fn.conditionNot(isGiven('')) });
  new CfnCondition(stack, MAKES_KEY, { expression: isGiven('create') });
  const encryptionKey = isKeyed
    ? new Key(stack, KEY, { description: 'keyrota: alarms, queues, logs and environments', enableKeyRotation: true, removalPolicy: RemovalPolicy.RETAIN })
    : undefined;
  const topic = new Topic(stack, 'Alarms', { masterKey: encryptionKey, enforceSSL: true });
  const hasEmail = new CfnCondition(stack, 'HasEmail', { expression: Fn.conditionNot(Fn.conditionEquals(email.valueAsString, '')) });
  const subscription = new CfnResource(stack, 'AlarmSubscription', {
    type: 'AWS::SNS::Subscription',
    properties: { Protocol: 'email', Endpoint: email.valueAsString, TopicArn: topic.topicArn },
  });
  subscription.cfnOptions.condition = hasEmail;
  const arn = (service, resource, region = Aws.REGION) => `arn:${Aws.PARTITION}:${service}:${region}:${Aws.ACCOUNT_ID}:${resource}`;
  const rotation = new AccessKeyRotation(stack, 'Rotation', {
    configuration: {
      parameter: { parameterName: config.valueAsString, parameterArn: arn('ssm', `parameter${config.valueAsString}`) },
      userArns: [arn('iam', `user/${users.valueAsString}`, '')],
      secretArns: [arn('secretsmanager', `secret:${prefix.valueAsString}*`)],
      secretNamePrefixes: [prefix.valueAsString],
      tokenSecretArns: [arn('secretsmanager', `secret:${tokens.valueAsString}*`)],
      sha256: sha256.valueAsString,
    },
    allowedHosts: [allowed.valueAsString],
    functionRolePrefix: `${Aws.STACK_NAME}-${Aws.REGION}-`,
    code: Code.fromCfnParameters({ bucketNameParam: bucket, objectKeyParam: key }),
    keeper: Aws.STACK_NAME,
    trigger: SyncTrigger.BOTH,
    emergency: EmergencyMode.AUTO,
    secretsManagerRotation: true,
    alarmsTopic: topic,
    encryptionKey,
    logRetention: RetentionDays.SIX_MONTHS,
    ...(fleet ? { fleet: {} } : {}),
  });
  const conditions = {
    native: new CfnCondition(stack, 'WithNative', { expression: Fn.conditionNot(Fn.conditionEquals(trigger.valueAsString, 'cloudtrail')) }),
    cloudtrail: new CfnCondition(stack, 'WithCloudTrail', { expression: Fn.conditionNot(Fn.conditionEquals(trigger.valueAsString, 'native')) }),
    auto: new CfnCondition(stack, 'WithEmergency', { expression: Fn.conditionEquals(emergency.valueAsString, 'auto') }),
    member: new CfnCondition(stack, 'WithMembers', { expression: Fn.conditionNot(Fn.conditionEquals(member.valueAsString, '')) }),
  };
  for (const child of stack.node.findAll()) {
    if (!(child instanceof CfnResource)) continue;
    const where = child.node.path.split('/').slice(1).join('/');
    if (where.startsWith('Rotation/Emergency/') || where.startsWith('Rotation/Alarms/EmergencyFails') || where.startsWith('Rotation/Events/QuarantinedNow')) child.cfnOptions.condition = conditions.auto;
    if (where.startsWith('Rotation/Events/NewValue/')) child.cfnOptions.condition = conditions.native;
    if (where.startsWith('Rotation/Events/NewValueByCloudTrail/')) child.cfnOptions.condition = conditions.cloudtrail;
    if (where.startsWith('Rotation/Events/RotatedByCloudTrail/')) child.cfnOptions.condition = conditions.cloudtrail;
  }
  const made = templateOf(app, stack);
  settle(made);
  return made;
}

/** Joins the template with a key and the one without it: where they differ, the condition decides. */
function joined(keyed, plain) {
  const [made] = Object.keys(keyed.Resources).filter((name) => name.startsWith(KEY));
  const { [made]: key, ...resources } = keyed.Resources;
  const both = either(resources, plain.Resources);
  const arn = { 'Fn::GetAtt': [made, 'Arn'] };
  const chosen = replaced(both, JSON.stringify(arn), { 'Fn::If': [MAKES_KEY, arn, { Ref: 'EncryptionKey' }] });
  return { ...plain, Resources: { [made]: { ...key, Condition: MAKES_KEY }, ...chosen } };
}

const NOTHING = { Ref: 'AWS::NoValue' };
const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !Object.keys(value).some((key) => /^(Ref|Fn::.*)$/.test(key));
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const decided = (one, other) => ({ 'Fn::If': [WITH_KEY, one ?? NOTHING, other ?? NOTHING] });

/** Takes a value of the one template if there is a key, of the other one if there is none. */
function either(one, other) {
  if (isSame(one, other)) return one;
  if (isMap(one) && isMap(other)) {
    const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
    // CloudFormation takes no function in the place of all properties.
    const bare = (name) => (name === 'Properties' ? {} : undefined);
    return Object.fromEntries(names.map((name) => [name, either(one[name] ?? bare(name), other[name] ?? bare(name))]));
  }
  if (Array.isArray(one) && Array.isArray(other)) {
    const isIn = (list, wanted) => list.some((found) => isSame(found, wanted));
    return [
      ...one.map((found) => (isIn(other, found) ? found : decided(found))),
      ...other.filter((found) => !isIn(one, found)).map((found) => decided(undefined, found)),
    ];
  }
  return decided(one, other);
}

function replaced(value, text, by) {
  if (JSON.stringify(value) === text) return by;
  if (Array.isArray(value)) return value.map((one) => replaced(one, text, by));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, replaced(one, text, by)]));
}

/** Writes what depends on a parameter into places where the construct has a fixed value. */
function settle(made) {
  const resources = made.Resources;
  const isAuto = (then, otherwise) => ({ 'Fn::If': ['WithEmergency', then, otherwise] });
  const conditional = new Set(Object.entries(resources).filter(([, one]) => one.Condition === 'WithEmergency').map(([name]) => name));
  const refersTo = (value, names) => JSON.stringify(value).split('"').some((word) => names.has(word));
  for (const [name, one] of Object.entries(resources)) {
    delete one.Metadata;
    const properties = one.Properties ?? {};
    if (one.DependsOn) one.DependsOn = [one.DependsOn].flat().filter((other) => resources[other].Type !== 'AWS::IAM::Role');
    if (one.Type === 'AWS::Lambda::Function') {
      properties.Code.S3ObjectVersion = { 'Fn::If': ['WithCodeVersion', { Ref: 'CodeVersion' }, { Ref: 'AWS::NoValue' }] };
      const variables = properties.Environment.Variables;
      variables.KEYROTA_TRIGGER = { Ref: 'Trigger' };
      variables.KEYROTA_EMERGENCY = { Ref: 'Emergency' };
      if (variables.KEYROTA_ROLES) {
        const [, parts] = variables.KEYROTA_ROLES['Fn::Join'];
        const roles = parts.filter((part) => part.Ref);
        variables.KEYROTA_ROLES = { 'Fn::Join': [',', roles.map((part) => (conditional.has(part.Ref) ? isAuto(part, { Ref: 'AWS::NoValue' }) : part))] };
        variables.KEYROTA_ROLES['Fn::Join'][1] = variables.KEYROTA_ROLES['Fn::Join'][1].map((part) => (part['Fn::If'] ? isAuto(part['Fn::If'][1], 'none') : part));
      }
    }
    if (one.Type === 'AWS::SQS::QueuePolicy') {
      properties.PolicyDocument.Statement = properties.PolicyDocument.Statement.map((statement) => {
        const source = Object.entries(resources).find(([other, { Condition }]) => Condition && refersTo(statement.Condition ?? {}, new Set([other])));
        return source ? { 'Fn::If': [source[1].Condition, statement, { Ref: 'AWS::NoValue' }] } : statement;
      });
    }
    if (one.Type === 'AWS::IAM::Policy' && /Rotation(Rotate|Sync|Deactivate|Delete|Watch|Emergency|)Role/.test(name)) {
      properties.PolicyDocument.Statement.push({
        'Fn::If': ['WithMembers', {
          Action: 'sts:AssumeRole', Effect: 'Allow',
          Resource: { 'Fn::Sub': `arn:\${AWS::Partition}:iam::*:role/\${MemberRoleName}` },
          Condition: { StringEquals: { 'aws:ResourceOrgID': '${aws:PrincipalOrgID}' } }, // the accounts are any: of our organization only
        }, { Ref: 'AWS::NoValue' }],
      });
    }
  }
}

function aStack(name, description) {
  const app = new App({ analyticsReporting: false });
  return [app, new Stack(app, name, { description, analyticsReporting: false, synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }) })];
}

/** Synthesizes, and leaves no folder behind. */
function templateOf(app, stack) {
  try {
    return app.synth().getStackByName(stack.stackName).template;
  } finally {
    fs.rmSync(app.outdir, { recursive: true });
  }
}

function synthesized(app, stack) {
  const made = templateOf(app, stack);
  for (const one of Object.values(made.Resources)) delete one.Metadata;
  return made;
}

/** Makes the stack for us-east-1, where IAM's events arrive. */
function iamEvents() {
  const [app, stack] = aStack('keyrota-iam-events', "keyrota: forwards IAM's events to the region of the rotation");
  const region = parameter(stack, 'RotationRegion', 'Region of the stack keyrota', { allowedPattern: '[a-z0-9-]+' });
  new IamEventsForwarder(stack, 'Forwarder', { rotationRegion: region.valueAsString });
  return synthesized(app, stack);
}

/** Makes the stack for member accounts, by a StackSet. */
function member() {
  const [app, stack] = aStack('keyrota-member', 'keyrota: roles that its functions assume in this account');
  const account = parameter(stack, 'RotationAccount', 'Account of the stack keyrota', { allowedPattern: '[0-9]{12}' });
  const external = parameter(stack, 'ExternalId', "The configuration's external_id", { minLength: 2 });
  const users = parameter(stack, 'UserPattern', 'The IAM users that may be rotated, as path and name: ci-* or ci/*', {
    allowedPattern: '[A-Za-z0-9_+=,.@/*?-]*[A-Za-z0-9][A-Za-z0-9_+=,.@/*?-]*',
  });
  const prefix = parameter(stack, 'SecretPrefix', "What the names of the users' secrets begin with", { default: 'keyrota/', allowedPattern: '[A-Za-z0-9/_+=.@-]+' });
  const functions = parameter(stack, 'FunctionRolePrefix', "What the names of the functions' roles begin with: STACK-REGION-, such as keyrota-eu-central-1-", {
    allowedPattern: '[A-Za-z0-9_+=,.@-]+',
  });
  const organization = parameter(stack, 'OrganizationId', "The organization of the rotation's account, such as o-a1b2c3d4e5; empty: not looked at", {
    default: '', allowedPattern: '(o-[a-z0-9]{10,32})?',
  });
  new CfnCondition(stack, 'WithOrganization', { expression: Fn.conditionNot(Fn.conditionEquals(organization.valueAsString, '')) });
  new MemberRoles(stack, 'Roles', {
    rotationAccount: account.valueAsString, externalId: external.valueAsString, userPattern: users.valueAsString, secretPrefix: prefix.valueAsString,
    functionRolePrefix: functions.valueAsString, organizationId: organization.valueAsString,
  });
  const made = synthesized(app, stack);
  for (const one of Object.values(made.Resources)) {
    const condition = one.Properties.AssumeRolePolicyDocument?.Statement[0].Condition.StringEquals;
    if (condition) condition['aws:PrincipalOrgID'] = { 'Fn::If': ['WithOrganization', { Ref: 'OrganizationId' }, { Ref: 'AWS::NoValue' }] };
  }
  return made;
}

function texts() {
  const plain = template({ fleet: false });
  const fleet = template({ fleet: true });
  const written = (value) => `${JSON.stringify(value, null, 1)}\n`;
  return {
    'template.json': written({ AWSTemplateFormatVersion: '2010-09-09', ...plain }),
    'template-iam-events.json': written({ AWSTemplateFormatVersion: '2010-09-09', ...iamEvents() }),
    'template-member.json': written({ AWSTemplateFormatVersion: '2010-09-09', ...member() }),
    'template-fleet.json': written({ AWSTemplateFormatVersion: '2010-09-09', ...fleet }),
  };
}

module.exports = { texts, TARGET };

if (require.main === module) {
  for (const [name, text] of Object.entries(texts())) fs.writeFileSync(path.join(TARGET, name), text);
}
