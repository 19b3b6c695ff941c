import { Aws } from 'aws-cdk-lib';
import { AccountPrincipal, Effect, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ACTIONS } from './actions';

/** Properties of MemberRoles. */
export interface MemberRolesProps {
  /** The account of the stack with AccessKeyRotation, 12 digits. */
  readonly rotationAccount: string;
  /** The external ID that the functions give; the configuration's `externalId`. */
  readonly externalId: string;
  /** The users that may be rotated, as path and name: `ci/*`. */
  readonly userPattern: string;
  /**
   * What the names of their secrets begin with.
   * @default keyrota/
   */
  readonly secretPrefix?: string;
  /**
   * What the roles' names begin with; the duty follows.
   * @default keyrota-
   */
  readonly rolePrefix?: string;
  /**
   * Names of the functions' roles in the rotation's account, as a pattern.
   * @default - *-Rotation*Role*
   */
  readonly functionRoles?: string;
}

/**
 * The roles of a member account: one for each duty, which only the function of that duty may assume.
 *
 * The configuration names them as `keyrota-{duty}`.
 */
export class MemberRoles extends Construct {
  constructor(scope: Construct, id: string, props: MemberRolesProps) {
    super(scope, id);
    const prefix = props.rolePrefix ?? 'keyrota-';
    const secrets = `arn:${Aws.PARTITION}:secretsmanager:*:${Aws.ACCOUNT_ID}:secret:${props.secretPrefix ?? 'keyrota/'}*`;
    const users = `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:user/${props.userPattern}`;
    for (const [duty, actions] of Object.entries(ACTIONS)) {
      const name = duty[0].toUpperCase() + duty.slice(1);
      const callers = props.functionRoles ?? `*Rotation${name}Role*`;
      const role = new Role(this, name, {
        roleName: `${prefix}${duty}`,
        description: `keyrota: ${duty}, for the function in ${props.rotationAccount}`,
        assumedBy: new AccountPrincipal(props.rotationAccount).withConditions({
          StringEquals: { 'sts:ExternalId': props.externalId },
          ArnLike: { 'aws:PrincipalArn': `arn:${Aws.PARTITION}:iam::${props.rotationAccount}:role/${callers}` },
        }),
      });
      const allow = (service: string, resource: string): void => {
        const found = actions.filter((action) => action.startsWith(service));
        if (found.length) {
          role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: found, resources: [resource] }));
        }
      };
      allow('iam:', users);
      allow('secretsmanager:', secrets);
    }
  }
}
