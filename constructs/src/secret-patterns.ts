import { ArnFormat, Stack } from 'aws-cdk-lib';
import { IConstruct } from 'constructs';
import { charactersOf } from './sizes';

/** EventBridge takes 2,048 characters for a pattern (quotas of EventBridge); the rest is for its other fields. */
export const LARGEST_LIST = 1_600;
/** `{"prefix":""},` */
const A_PREFIX = 14;
/** `"",` */
const A_TEXT = 3;

/** A secret, or all whose names begin so. */
export interface NamedSecret {
  readonly name: string;
  /** Its account, if it is another one. */
  readonly account?: string;
  readonly isPrefix: boolean;
}

/**
 * What the secrets are called in events; a wider pattern only brings events that the functions pass over.
 *
 * Each list is of the secrets themselves if a pattern has room for them, then of what all their names begin with;
 * undefined is any secret.
 */
export class SecretPatterns {
  constructor(
    private readonly scope: IConstruct,
    private readonly secrets: NamedSecret[],
  ) {}

  /** By name, as Secrets Manager's own event tells it. */
  public byName(): any[] | undefined {
    return this.fitting((one) => [nameOf(one)], LARGEST_LIST);
  }

  /** As a caller may name them: by name, by ARN, or by an ARN without its last hyphen and six characters. */
  public asCalled(room: number = LARGEST_LIST): any[] | undefined {
    return this.fitting((one) => [nameOf(one), { prefix: this.arnOf(one) }], room);
  }

  private fitting(write: (one: NamedSecret) => any[], room: number): any[] | undefined {
    return [this.secrets, this.alike()].map((secrets) => once(secrets.flatMap(write))).find((list) => list.length && this.sizeOf(list) <= room);
  }

  private arnOf({ name, account }: NamedSecret): string {
    return Stack.of(this.scope).formatArn({ service: 'secretsmanager', account, resource: 'secret', resourceName: name, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  }

  private sizeOf(list: any[]): number {
    const characters = list.map((one) => (typeof one === 'string' ? charactersOf(this.scope, one) + A_TEXT : charactersOf(this.scope, one.prefix) + A_PREFIX));
    return characters.reduce((sum, one) => sum + one, 0);
  }

  /** Finds what all names begin with, in each of the accounts. */
  private alike(): NamedSecret[] {
    const [first, ...others] = this.secrets.map(({ name }) => name.split('${Token[')[0]);
    let name = first ?? '';
    while (name && !others.every((other) => other.startsWith(name))) {
      name = name.slice(0, -1);
    }
    return name ? this.secrets.map(({ account }) => ({ name, account, isPrefix: true })) : [];
  }
}

function nameOf({ name, isPrefix }: NamedSecret): any {
  return isPrefix ? { prefix: name } : name;
}

function once(list: any[]): any[] {
  return [...new Map(list.map((one) => [JSON.stringify(one), one])).values()];
}
