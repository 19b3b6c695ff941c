import { App, Aspects, Stack } from 'aws-cdk-lib';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import { User } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { AwsSolutionsChecks, NagSuppressions } from 'cdk-nag';
import { AccessKeyRotation, AccessKeyRotationProps, BitbucketDeployment, EmergencyMode, SyncTrigger } from '../lib';

/** A key of your own, and alarms. */
function keyed(stack: Stack): Partial<AccessKeyRotationProps> {
  const encryptionKey = new Key(stack, 'Key', { enableKeyRotation: true });
  return { encryptionKey, alarmsTopic: new Topic(stack, 'Alarms', { masterKey: encryptionKey, enforceSSL: true }) };
}

/** What the AWS Solutions pack finds and is left so, each with its reason. */
const REASONS = [
  { id: 'AwsSolutions-IAM5', reason: 'Secrets Manager appends six characters to a secret ARN; which they are is not known before it exists', appliesTo: [{ regex: '/^Resource::.*:secret:.*-\\?\\?\\?\\?\\?\\?$/g' }] },
  { id: 'AwsSolutions-IAM5', reason: 'versions and aliases of one function: granted so by CDK for its own tasks', appliesTo: [{ regex: '/^Resource::<Rotation.*Function.*\\.Arn>:\\*$/g' }] },
  { id: 'AwsSolutions-IAM5', reason: 'executions and map runs of this one state machine', appliesTo: [{ regex: '/^Resource::.*(StateMachine|execution|states:).*$/g' }] },
  { id: 'AwsSolutions-IAM5', reason: 'X-Ray and log deliveries have no resources (Service Authorization Reference)', appliesTo: ['Resource::*'] },
  { id: 'AwsSolutions-IAM5', reason: 'manifests and results of the fleet, below their prefixes', appliesTo: [{ regex: '/^Resource::.*<RotationFleetBucket.*>\\/.*$/g' }] },
  { id: 'AwsSolutions-IAM5', reason: 'any trail may be the one that sends events', appliesTo: [{ regex: '/^Resource::.*:cloudtrail:.*$/g' }] },
  { id: 'AwsSolutions-S1', reason: 'the bucket holds user names and results; access logs would need a bucket more' },
  { id: 'AwsSolutions-L1', reason: 'python3.13 is the longest-proven runtime that all dependencies are built for' },
];

test.each([false, true])('the AWS Solutions pack finds nothing that is not explained (with a key: %s)', (isKeyed) => {
  const app = new App();
  const stack = new Stack(app, 'keyrota', { env: { account: '123456789012', region: 'eu-central-1' } });
  new AccessKeyRotation(stack, 'Rotation', {
    code: Code.fromBucket(Bucket.fromBucketName(stack, 'Code', 'code'), 'keyrota.zip'),
    credentials: [{ user: User.fromUserName(stack, 'User', 'ci-deploy'), targets: [new BitbucketDeployment({ workspace: 'a', repository: 'b', environment: 'c' })] }],
    providers: { bitbucket: { token: Secret.fromSecretNameV2(stack, 'Token', 'tokens/bitbucket') } },
    emergency: EmergencyMode.AUTO,
    trigger: SyncTrigger.BOTH,
    secretsManagerRotation: true,
    fleet: {},
    ...(isKeyed ? keyed(stack) : {}),
  });
  Aspects.of(stack).add(new AwsSolutionsChecks({ verbose: true }));
  NagSuppressions.addStackSuppressions(stack, REASONS);
  const found = [
    ...Annotations.fromStack(stack).findError('*', Match.stringLikeRegexp('AwsSolutions-.*')),
    ...Annotations.fromStack(stack).findWarning('*', Match.stringLikeRegexp('AwsSolutions-.*')),
  ].map((one) => `${one.id}: ${String(one.entry.data).slice(0, 200)}`);
  expect(found).toEqual([]);
});
