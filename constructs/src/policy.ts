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
  readonly unusedFor?: Duration;
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
const A_DAY = 24;

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
  const quiet = props.unusedFor?.toHours({ integral: false }) ?? A_DAY;
  if (![rotate, deactivate, remove, quiet].every(Number.isInteger)) {
    throw new Error('policy: ages and unusedFor are whole hours');
  }
  if (remove - rotate >= rotate) {
    throw new Error(
      `policy: the old key leaves ${remove - rotate} h after the rotation, and the next one comes after ${rotate} h: IAM has two slots, ` +
        'so none would be free; let deleteAfter be less than twice rotateAfter',
    );
  }
  if (quiet > Math.max(deactivate - rotate, A_DAY)) {
    throw new Error(`policy: unusedFor (${quiet} h) is longer than the overlap (${deactivate - rotate} h): the old key might never count as unused`);
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
    ...(props.unusedFor ? { unused_for: written(props.unusedFor.toHours({ integral: false })) } : {}),
    ...(props.adoptNow === undefined ? {} : { adopt: props.adoptNow ? 'now' : 'when-due' }),
    ...(props.proveUse === undefined ? {} : { prove_use: props.proveUse }),
  };
}

function written(hours: number): string {
  return hours % 24 === 0 ? `${hours / 24}d` : `${hours}h`;
}
