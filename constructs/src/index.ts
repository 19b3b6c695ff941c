export { AccessKeyRotation, AccessKeyRotationProps, EmergencyMode, SyncTrigger } from './access-key-rotation';
export { BitbucketDeployment, BitbucketDeploymentProps, GitHubSecret, GitHubSecretProps, GitLabVariable, GitLabVariableProps, OtherTarget, OtherTargetProps, Target, TargetEntry, VariableOptions } from './targets';
export { RotatedCredential } from './credential';
export { RotationPolicyProps } from './policy';
export { BitbucketOptions, GitHubOptions, ProviderOptions, ProvidersProps } from './providers';
export { StoredConfiguration } from './configuration';
export { SchedulesProps } from './schedules';
export { FleetOptions } from './fleet';
export * from './oidc';
