import { Stack } from 'aws-cdk-lib';
import { IConstruct } from 'constructs';

const KNOWN: { readonly [name: string]: number } = { 'AWS::Partition': 6, 'AWS::AccountId': 12, 'AWS::Region': 14, 'AWS::URLSuffix': 13 };
const A_NAME = 64;
const AN_ARN = 95;

/** Estimates how many characters a text has when it is deployed: names and ARNs that are not known yet count as long ones. */
export function charactersOf(scope: IConstruct, text: string): number {
  return estimate(Stack.of(scope).resolve(text));
}

function estimate(value: any): number {
  if (typeof value !== 'object' || value === null) {
    return String(value).length;
  }
  if (value['Fn::Join']) {
    return value['Fn::Join'][1].reduce((sum: number, part: any) => sum + estimate(part), 0);
  }
  if (value.Ref) {
    return KNOWN[value.Ref] ?? A_NAME;
  }
  return value['Fn::GetAtt']?.[1] === 'Arn' ? AN_ARN : A_NAME;
}
