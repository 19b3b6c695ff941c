import { Aws, Token } from 'aws-cdk-lib';
import { AccountPrincipal, Effect, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ACTIONS, ANYWHERE, ONE_TAG, TAGGING } from './actions';

/** Properties of MemberRoles. */
export interface MemberRolesProps {
  /** The account of the stack with AccessKeyRotation, 12 digits. */
  readonly rotationAccount: string;
  /** The external ID that the functions give; the configuration's `externalId`. */
  readonly externalId: string;
  /** The users that may be rotated, as path and name: `ci/*`; not every user. */
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
   * What the names of the functions' roles in the rotation's account begin with, exactly; the duty follows.
   *
   * `keyrota deploy` names them STACK-REGION-: `keyrota-eu-central-1-`. With AccessKeyRotation it is `functionRolePrefix`.
   */
  readonly functionRolePrefix: string;
  /**
   * The organization of the rotation's account, such as o-a1b2c3d4e5: only its accounts may assume the roles.
   * @default - the account, the role and the external ID decide alone
   */
  readonly organizationId?: string;
}

/**
 * The roles of a member account: one for each duty, which only the function of that duty may assume.
 *
 * The configuration names them as `keyrota-{duty}`.
 */
export class MemberRoles extends Construct {
  constructor(scope: Construct, id: string, props: MemberRolesProps) {
    super(scope, id);
    if (!Token.isUnresolved(props.functionRolePrefix) && !/^[A-Za-z0-9_+=,.@-]+$/.test(props.functionRolePrefix)) {
      throw new Error(`functionRolePrefix "${props.functionRolePrefix}" is not the beginning of a role's name: whoever may make a role of a name that fits a pattern would get in`);
    }
    if (!Token.isUnresolved(props.userPattern) && !/[A-Za-z0-9]/.test(props.userPattern)) {
      throw new Error(`userPattern "${props.userPattern}" is every user of the account: give those to be rotated a common IAM path`);
    }
    const prefix = props.rolePrefix ?? 'keyrota-';
    const secrets = `arn:${Aws.PARTITION}:secretsmanager:*:${Aws.ACCOUNT_ID}:secret:${props.secretPrefix ?? 'keyrota/'}*`;
    const users = `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:user/${props.userPattern}`;
    for (const [duty, actions] of Object.entries(ACTIONS)) {
      const name = duty[0].toUpperCase() + duty.slice(1);
      const role = new Role(this, name, {
        roleName: `${prefix}${duty}`,
        description: `keyrota: ${duty}, for the function in ${props.rotationAccount}`,
        assumedBy: new AccountPrincipal(props.rotationAccount).withConditions({
          StringEquals: {
            'sts:ExternalId': props.externalId,
            ...(props.organizationId ? { 'aws:PrincipalOrgID': props.organizationId } : {}),
          },
          ArnEquals: { 'aws:PrincipalArn': `arn:${Aws.PARTITION}:iam::${props.rotationAccount}:role/${props.functionRolePrefix}${duty}` },
        }),
      });
      const allow = (service: string, resource: string): void => {
        const found = actions.filter((action) => action.startsWith(service));
        const tagging = found.filter((action) => TAGGING.includes(action));
        const others = found.filter((action) => !TAGGING.includes(action));
        if (others.length) {
          role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: others, resources: [resource] }));
        }
        if (tagging.length) {
          role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: tagging, resources: [resource], conditions: ONE_TAG }));
        }
      };
      allow('iam:', users);
      allow('secretsmanager:', secrets);
      const anywhere = ANYWHERE[duty] ?? [];
      if (anywhere.length) {
        role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: anywhere, resources: ['*'] })); // they take no resource
      }
    }
  }
}
