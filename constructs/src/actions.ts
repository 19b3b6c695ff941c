/** What the role of each function is allowed; written by docs/generate.py from aws/permissions.py. */
export const ACTIONS: { readonly [name: string]: string[] } = {
  rotate: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'iam:CreateAccessKey',
    'iam:TagUser',
    'secretsmanager:CreateSecret',
    'secretsmanager:GetResourcePolicy',
    'secretsmanager:GetSecretValue',
    'secretsmanager:PutSecretValue',
    'secretsmanager:UpdateSecretVersionStage',
    'secretsmanager:TagResource',
  ],
  sync: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'secretsmanager:GetSecretValue',
    'secretsmanager:TagResource',
  ],
  deactivate: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'iam:UpdateAccessKey',
    'secretsmanager:TagResource',
  ],
  delete: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'iam:DeleteAccessKey',
  ],
  watch: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
  ],
  rotation: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'iam:CreateAccessKey',
    'iam:TagUser',
    'secretsmanager:GetResourcePolicy',
    'secretsmanager:GetSecretValue',
    'secretsmanager:PutSecretValue',
    'secretsmanager:UpdateSecretVersionStage',
  ],
  emergency: [
    'iam:ListAccessKeys',
    'iam:GetAccessKeyLastUsed',
    'secretsmanager:DescribeSecret',
    'iam:ListUserTags',
    'iam:CreateAccessKey',
    'iam:TagUser',
    'secretsmanager:CreateSecret',
    'secretsmanager:GetResourcePolicy',
    'secretsmanager:GetSecretValue',
    'secretsmanager:PutSecretValue',
    'secretsmanager:UpdateSecretVersionStage',
    'secretsmanager:TagResource',
    'iam:UpdateAccessKey',
    'iam:ListAttachedUserPolicies',
  ],
};

/** What it is allowed besides, of actions that take no resource. */
export const ANYWHERE: { readonly [name: string]: string[] } = {
  rotate: [
    'sts:GetAccessKeyInfo',
    'iam:GenerateCredentialReport',
    'iam:GetCredentialReport',
    'secretsmanager:ListSecrets',
  ],
  sync: [
    'sts:GetAccessKeyInfo',
    'iam:GenerateCredentialReport',
    'iam:GetCredentialReport',
    'secretsmanager:ListSecrets',
  ],
  deactivate: [
    'iam:GenerateCredentialReport',
    'iam:GetCredentialReport',
    'secretsmanager:ListSecrets',
  ],
  delete: [
    'iam:GenerateCredentialReport',
    'iam:GetCredentialReport',
    'secretsmanager:ListSecrets',
  ],
  emergency: [
    'sts:GetAccessKeyInfo',
  ],
};

/** Allowed in a statement of their own, for one tag. */
export const TAGGING: readonly string[] = ['iam:TagUser', 'iam:UntagUser'];

/** The condition of that statement. */
export const ONE_TAG: { readonly [operator: string]: any } = {'ForAllValues:StringEquals': {'aws:TagKeys': ['keyrota:secret']}};
