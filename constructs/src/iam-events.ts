import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import { EventBus, Rule } from 'aws-cdk-lib/aws-events';
import { EventBus as EventBusTarget } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { keyPattern, quarantinePattern } from './events';

/** Properties of IamEventsForwarder. */
export interface IamEventsForwarderProps {
  /** The region of the stack with AccessKeyRotation. */
  readonly rotationRegion: string;
  /**
   * Names of the users whose events are forwarded.
   * @default - every user's
   */
  readonly userNames?: string[];
}

const OTHER_PARTITIONS: { readonly [prefix: string]: string } = { 'cn-': 'cn-north-1', 'us-gov-': 'us-gov-west-1', 'eusc-': 'eusc-de-east-1' };

/** Names the one region of a partition in which IAM's events arrive; undefined where that is not known. */
export function iamEventsRegion(region: string): string | undefined {
  if (Token.isUnresolved(region) || region.startsWith('us-iso')) {
    return undefined;
  }
  const [, found] = Object.entries(OTHER_PARTITIONS).find(([prefix]) => region.startsWith(prefix)) ?? [];
  return found ?? 'us-east-1';
}

/**
 * Forwards IAM's events to the region of the rotation.
 *
 * IAM's events arrive in us-east-1 only (in the commercial partition; cn-north-1 in China, us-gov-west-1 in GovCloud): put
 * this into a stack there.
 */
export class IamEventsForwarder extends Construct {
  constructor(scope: Construct, id: string, props: IamEventsForwarderProps) {
    super(scope, id);
    const stack = Stack.of(this);
    if (!Token.isUnresolved(stack.region) && stack.region === props.rotationRegion) {
      throw new Error(`this stack is in ${stack.region}, where the rotation is: its own rules see IAM's events already`);
    }
    const arrive = iamEventsRegion(stack.region);
    if (arrive !== undefined && stack.region !== arrive) {
      throw new Error(`IAM's events arrive in ${arrive} only, and this stack is in ${stack.region}: put it there`);
    }
    const arn = stack.formatArn({
      service: 'events',
      region: props.rotationRegion,
      resource: 'event-bus',
      resourceName: 'default',
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
    const target = new EventBusTarget(EventBus.fromEventBusArn(this, 'Bus', arn));
    const users = props.userNames ?? [];
    new Rule(this, 'KeyChanged', { description: 'keyrota: the keys of a user were changed', eventPattern: keyPattern(users), targets: [target] });
    new Rule(this, 'Quarantined', { description: 'keyrota: AWS found a key in public', eventPattern: quarantinePattern(users), targets: [target] });
  }
}
