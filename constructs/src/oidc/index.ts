export { CiOidcProvider, CiOidcProviderOptions, ICiOidcProvider } from './provider';
export { CiOidcRoleOptions } from './role';
export * from './bitbucket';
export * from './github';
export * from './gitlab';
