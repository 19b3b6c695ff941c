import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { Effect, IManagedPolicy, ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { IKey } from 'aws-cdk-lib/aws-kms';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** What all functions of a stack share. */
export interface FunctionSettings {
  readonly code: Code;
  readonly environment: { [name: string]: string };
  readonly logRetention: RetentionDays;
  readonly encryptionKey?: IKey;
  readonly permissionsBoundary?: IManagedPolicy;
  readonly vpc?: IVpc;
  readonly vpcSubnets?: SubnetSelection;
  readonly securityGroups?: ISecurityGroup[];
  readonly memoryMb: number;
  /** What the names of the roles begin with; the duty follows. */
  readonly rolePrefix?: string;
}

/** How often Lambda repeats an asynchronous invocation that failed. */
export interface Repeats {
  readonly retryAttempts: number;
  readonly deadLetters?: IQueue;
}

/** One function with a role and a log group of its own. */
export class DutyFunction extends Construct {
  public readonly role: Role;
  public readonly function: LambdaFunction;

  constructor(scope: Construct, duty: string, settings: FunctionSettings, repeats: Repeats) {
    super(scope, duty[0].toUpperCase() + duty.slice(1));
    this.role = new Role(this, 'Role', {
      roleName: settings.rolePrefix === undefined ? undefined : `${settings.rolePrefix}${duty}`,
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `keyrota: ${duty}`,
      permissionsBoundary: settings.permissionsBoundary,
    });
    const logGroup = new LogGroup(this, 'Logs', {
      retention: settings.logRetention,
      encryptionKey: settings.encryptionKey,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    logGroup.grantWrite(this.role);
    if (settings.vpc) {
      this.role.addManagedPolicy(ManagedPolicy.fromAwsManagedPolicyName('service-role/AWSLambdaVPCAccessExecutionRole'));
    }
    this.function = new LambdaFunction(this, 'Function', {
      description: `keyrota: ${DESCRIPTIONS[duty]}`,
      runtime: Runtime.PYTHON_3_13,
      architecture: Architecture.ARM_64,
      handler: `keyrota.app.functions.${duty}.handler`,
      code: settings.code,
      role: this.role,
      logGroup,
      memorySize: settings.memoryMb,
      timeout: TIMEOUT,
      environment: settings.environment,
      environmentEncryption: settings.encryptionKey,
      retryAttempts: repeats.retryAttempts,
      maxEventAge: Duration.hours(6),
      deadLetterQueue: repeats.deadLetters,
      vpc: settings.vpc,
      vpcSubnets: settings.vpcSubnets,
      securityGroups: settings.securityGroups,
    });
    // Lambda sends dead letters as this role, and CDK lets it into the queue, not into the queue's key.
    repeats.deadLetters?.encryptionMasterKey?.grant(this.role, 'kms:Decrypt', 'kms:GenerateDataKey');
  }

  /** Allows actions on resources; nothing where there is no resource. */
  public allow(actions: string[], resources: string[], conditions?: { [operator: string]: any }): void {
    if (actions.length && resources.length) {
      this.role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions, resources, conditions }));
    }
  }
}

/** Lambda's longest: a run may wait for a provider's limits. */
export const TIMEOUT = Duration.minutes(15);

const DESCRIPTIONS: { readonly [duty: string]: string } = {
  rotate: 'creates access keys that are due; deletes nothing',
  sync: 'brings AWSCURRENT to the CI variables; touches no key of IAM',
  deactivate: 'switches old keys off, on proof; reads no secret access key',
  delete: 'deletes keys whose grace is over; reads no secret access key',
  watch: 'reports what others do to the keys; changes nothing',
  rotation: "one step of Secrets Manager's own rotation",
  emergency: "replaces the keys of a user that AWS has quarantined",
  shard: 'cuts the configuration into items for the map over a fleet',
};
