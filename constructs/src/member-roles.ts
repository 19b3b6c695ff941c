import { Aws, Token } from 'aws-cdk-lib';
import { AccountPrincipal, Effect, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ACTIONS } from './actions';

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
   * Names of the functions' roles in the rotation's account, as a pattern in which `{duty}` stands for Rotate, Sync,
   * Deactivate, Delete, Watch, Rotation, Emergency.
   * @default - those of a construct that is called Rotation: *Rotation{duty}Role*
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
    if (props.functionRoles !== undefined && !props.functionRoles.includes('{duty}')) {
      throw new Error(`functionRoles "${props.functionRoles}" lets every function into every role: write {duty} where their names differ`);
    }
    if (!Token.isUnresolved(props.userPattern) && !/[A-Za-z0-9]/.test(props.userPattern)) {
      throw new Error(`userPattern "${props.userPattern}" is every user of the account: give those to be rotated a common IAM path`);
    }
    const prefix = props.rolePrefix ?? 'keyrota-';
    const secrets = `arn:${Aws.PARTITION}:secretsmanager:*:${Aws.ACCOUNT_ID}:secret:${props.secretPrefix ?? 'keyrota/'}*`;
    const users = `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:user/${props.userPattern}`;
    for (const [duty, actions] of Object.entries(ACTIONS)) {
      const name = duty[0].toUpperCase() + duty.slice(1);
      // CDK writes a name that stands twice in a path once: Rotation/Rotation/Role becomes RotationRole.
      const usual = duty === 'rotation' ? '*RotationRole*' : '*Rotation{duty}Role*';
      const callers = (props.functionRoles ?? usual).split('{duty}').join(name);
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
