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

/** IAM's events arrive in one region of a partition. */
export const IAM_EVENTS_REGION = 'us-east-1';

/**
 * Forwards IAM's events to the region of the rotation.
 *
 * IAM's events arrive in us-east-1 only (in the commercial partition): put this into a stack there.
 */
export class IamEventsForwarder extends Construct {
  constructor(scope: Construct, id: string, props: IamEventsForwarderProps) {
    super(scope, id);
    const stack = Stack.of(this);
    if (!Token.isUnresolved(stack.region) && stack.region === props.rotationRegion) {
      throw new Error(`this stack is in ${stack.region}, where the rotation is: its own rules see IAM's events already`);
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
    new Rule(this, 'KeyChanged', { description: 'keyrota: somebody changed the keys of a user', eventPattern: keyPattern(users), targets: [target] });
    new Rule(this, 'Quarantined', { description: 'keyrota: AWS found a key in public', eventPattern: quarantinePattern(users), targets: [target] });
  }
}
