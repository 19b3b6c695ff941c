import { Duration, Token } from 'aws-cdk-lib';

/** At which ages a key is replaced, switched off and deleted. */
export interface RotationPolicyProps {
  /**
   * Age at which a new key is made.
   * @default Duration.days(90)
   */
  readonly rotateAfter?: Duration;
  /**
   * Age at which the old key is switched off, if it is unused.
   * @default - ten days after rotateAfter
   */
  readonly deactivateAfter?: Duration;
  /**
   * Age at which the old key is deleted, if it is Inactive.
   * @default - ten days after deactivateAfter
   */
  readonly deleteAfter?: Duration;
  /**
   * A key used within this time counts as used.
   * @default Duration.hours(24)
   */
  readonly quietFor?: Duration;
  /**
   * Replace keys that were there before keyrota at once, and not when they are due.
   * @default false
   */
  readonly adoptNow?: boolean;
  /**
   * Also wait until IAM has seen the new key used before the old one goes off.
   * @default false
   */
  readonly proveUse?: boolean;
}

/** The ages, in whole hours. */
export interface Ages {
  readonly rotate: number;
  readonly deactivate: number;
  readonly remove: number;
}

const TEN_DAYS = 240;

/** Reads the ages, and refuses those that break an overlap. */
export function ages(props: RotationPolicyProps): Ages {
  for (const [name, value] of Object.entries(props)) {
    if (value instanceof Duration && Token.isUnresolved(value.toMilliseconds())) {
      throw new Error(`policy.${name} must be known at synthesis`);
    }
  }
  const rotate = props.rotateAfter?.toHours({ integral: false }) ?? 90 * 24;
  const deactivate = props.deactivateAfter?.toHours({ integral: false }) ?? rotate + TEN_DAYS;
  const remove = props.deleteAfter?.toHours({ integral: false }) ?? deactivate + TEN_DAYS;
  if (!(rotate > 0 && rotate < deactivate && deactivate < remove)) {
    throw new Error(
      `policy: a key is rotated (${rotate} h), then deactivated (${deactivate} h), then deleted (${remove} h): ` +
        'each age must be larger than the one before',
    );
  }
  if (![rotate, deactivate, remove].every(Number.isInteger)) {
    throw new Error('policy: ages are whole hours');
  }
  return { rotate, deactivate, remove };
}

/** Writes `policy:` of the configuration. */
export function policyEntry(props: RotationPolicyProps): { [name: string]: any } {
  const { rotate, deactivate, remove } = ages(props);
  return {
    rotate_after: written(rotate),
    deactivate_after: written(deactivate),
    delete_after: written(remove),
    ...(props.quietFor ? { quiet_for: written(props.quietFor.toHours({ integral: false })) } : {}),
    ...(props.adoptNow ? { adopt: 'now' } : {}),
    ...(props.proveUse ? { prove_use: true } : {}),
  };
}

function written(hours: number): string {
  return hours % 24 === 0 ? `${hours / 24}d` : `${hours}h`;
}
