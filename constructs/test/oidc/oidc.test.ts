import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import {
  BitbucketOidcProvider,
  BitbucketOidcRole,
  GitHubOidcProvider,
  GitHubOidcRole,
  GitHubRepository,
  GitHubSubjectForm,
  GitLabOidcProvider,
  GitLabOidcRole,
  GitLabProject,
  GitLabRefType,
} from '../../lib';

const REPO = '11111111-2222-3333-4444-555555555555';
const ENV = '66666666-7777-8888-9999-aaaaaaaaaaaa';
const GITHUB = 'token.actions.githubusercontent.com';

function aStack(): Stack {
  return new Stack(new App(), 'Stack');
}

function conditions(stack: Stack): any {
  const [role] = Object.values(Template.fromStack(stack).findResources('AWS::IAM::Role')) as any[];
  const [statement, ...rest] = role.Properties.AssumeRolePolicyDocument.Statement;
  expect(rest).toEqual([]);
  expect(statement.Action).toBe('sts:AssumeRoleWithWebIdentity');
  return statement.Condition;
}

describe('Bitbucket', () => {
  const provider = (stack: Stack): any => new BitbucketOidcProvider(stack, 'P', { workspace: 'acme', workspaceUuid: `{${REPO}}` });

  test('each workspace has an issuer and an audience of its own', () => {
    const stack = aStack();
    provider(stack);
    Template.fromStack(stack).hasResourceProperties('AWS::IAM::OIDCProvider', {
      Url: 'https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc',
      ClientIdList: [`ari:cloud:bitbucket::workspace/${REPO}`],
    });
  });

  test('deployment steps are repository, environment and any step, with the braces', () => {
    const stack = aStack();
    new BitbucketOidcRole(stack, 'R', { provider: provider(stack), repositories: [{ repositoryUuid: REPO, environmentUuid: `{${ENV}}` }] });
    const issuer = 'api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc';
    expect(conditions(stack)).toEqual({
      StringEquals: { [`${issuer}:aud`]: `ari:cloud:bitbucket::workspace/${REPO}` },
      StringLike: { [`${issuer}:sub`]: `{${REPO}}:{${ENV}}:*` },
    });
  });

  test.each([
    ['a repository without an environment', [{ repositoryUuid: REPO }], /anyStep/],
    ['a name instead of a UUID', [{ repositoryUuid: 'shop' }], /is no UUID/],
    ['a wildcard', [{ repositoryUuid: '*' }], /is no UUID/],
    ['the second of a list', [{ repositoryUuid: REPO, environmentUuid: ENV }, { repositoryUuid: REPO, environmentUuid: '*' }], /environmentUuid "\*" is no UUID/],
    ['nobody', [], /would trust every pipeline/],
  ])('%s is refused', (_, repositories, words) => {
    const stack = aStack();
    expect(() => new BitbucketOidcRole(stack, 'R', { provider: provider(stack), repositories })).toThrow(words);
  });

  test('asked for by name, every step of a repository may', () => {
    const stack = aStack();
    new BitbucketOidcRole(stack, 'R', { provider: provider(stack), repositories: [{ repositoryUuid: REPO, anyStep: true }] });
    expect(Object.values(conditions(stack).StringLike)).toEqual([`{${REPO}}:*`]);
  });
});

describe('GitHub', () => {
  const role = (repositories: GitHubRepository[], more: any = {}): Stack => {
    const stack = aStack();
    const provider = new GitHubOidcProvider(stack, 'P');
    new GitHubOidcRole(stack, 'R', { provider, repositories, subjectForm: GitHubSubjectForm.CLASSIC, ...more });
    return stack;
  };
  const ids = { ownerId: '123456', repositoryId: '456789' };

  test.each([
    [{ repository: 'acme/shop', environment: 'production' }, GitHubSubjectForm.CLASSIC, 'repo:acme/shop:environment:production'],
    [{ repository: 'acme/shop', gitRef: 'refs/heads/main' }, GitHubSubjectForm.CLASSIC, 'repo:acme/shop:ref:refs/heads/main'],
    [{ repository: 'acme/shop', pullRequest: true }, GitHubSubjectForm.CLASSIC, 'repo:acme/shop:pull_request'],
    [{ repository: 'acme/shop', gitRef: 'refs/heads/main', ...ids }, GitHubSubjectForm.IMMUTABLE, 'repo:acme@123456/shop@456789:ref:refs/heads/main'],
    [
      { repository: 'acme/shop', gitRef: 'refs/tags/v1', ...ids },
      GitHubSubjectForm.BOTH,
      ['repo:acme/shop:ref:refs/tags/v1', 'repo:acme@123456/shop@456789:ref:refs/tags/v1'],
    ],
  ])('%j in the form %s', (repository, subjectForm, subject) => {
    expect(conditions(role([repository as GitHubRepository], { subjectForm }))).toEqual({
      StringEquals: { [`${GITHUB}:aud`]: 'sts.amazonaws.com', [`${GITHUB}:sub`]: subject },
    });
  });

  test('a pattern of branches is asked for by name', () => {
    const stack = role([{ repository: 'acme/shop', gitRef: 'refs/heads/release/*', anyRef: true }]);
    expect(conditions(stack).StringLike).toEqual({ [`${GITHUB}:sub`]: 'repo:acme/shop:ref:refs/heads/release/*' });
  });

  test.each([
    [[{ repository: 'acme/*', gitRef: 'refs/heads/main' }], {}, /must be "owner\/name"/],
    [[{ repository: 'acme/shop' }], {}, /name one of environment, gitRef and pullRequest/],
    [[{ repository: 'acme/shop', gitRef: 'refs/heads/main', environment: 'x' }], {}, /name one of/],
    [[{ repository: 'acme/shop', gitRef: 'refs/heads/main*', anyRef: true }], {}, /main-evil/],
    [[{ repository: 'acme/shop', gitRef: 'refs/heads/*' }], {}, /anyRef/],
    [[{ repository: 'acme/shop', gitRef: '*', anyRef: true }], {}, /write it whole/],
    [[{ repository: 'acme/shop', gitRef: 'main' }], {}, /write it whole/],
    [[{ repository: 'acme/shop', environment: 'prod*' }], {}, /without a wildcard/],
    [[{ repository: 'acme/shop', gitRef: 'refs/heads/main' }, { repository: '*', gitRef: 'refs/heads/main' }], {}, /must be "owner\/name"/],
    [[{ repository: 'acme/shop', gitRef: 'refs/heads/main' }], { subjectForm: GitHubSubjectForm.IMMUTABLE }, /needs ownerId and repositoryId/],
    [[], {}, /would trust every pipeline/],
  ])('%j is refused (%j)', (repositories, more, words) => {
    expect(() => role(repositories as GitHubRepository[], more)).toThrow(words);
  });

  test('a provider that exists is referred to, and its issuer is the public one', () => {
    const stack = aStack();
    const provider = GitHubOidcProvider.fromArn('arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com');
    new GitHubOidcRole(stack, 'R', { provider, repositories: [{ repository: 'a/b', environment: 'c' }], subjectForm: GitHubSubjectForm.CLASSIC });
    Template.fromStack(stack).resourceCountIs('AWS::IAM::OIDCProvider', 0);
    expect(Object.keys(conditions(stack).StringEquals)).toContain(`${GITHUB}:sub`);
  });
});

describe('GitLab', () => {
  const role = (projects: GitLabProject[]): Stack => {
    const stack = aStack();
    new GitLabOidcRole(stack, 'R', { provider: new GitLabOidcProvider(stack, 'P', { url: 'https://gitlab.acme.example' }), projects });
    return stack;
  };

  test.each([
    [{ project: 'acme/platform/shop', gitRef: 'main' }, 'project_path:acme/platform/shop:ref_type:branch:ref:main'],
    [{ project: 'acme/shop', gitRef: 'v1', refType: GitLabRefType.TAG }, 'project_path:acme/shop:ref_type:tag:ref:v1'],
  ])('%j', (project, subject) => {
    expect(conditions(role([project]))).toEqual({
      StringEquals: { 'gitlab.acme.example:aud': 'https://gitlab.acme.example', 'gitlab.acme.example:sub': subject },
    });
  });

  test.each<[GitLabProject[], RegExp]>([
    [[{ project: 'acme', gitRef: 'main' }], /whole path/],
    [[{ project: 'acme/*', gitRef: 'main' }], /whole path/],
    [[{ project: 'acme/shop', gitRef: '*' }], /anyRef/],
    [[{ project: 'acme/shop', gitRef: 'main*', anyRef: true }], /main-evil/],
    [[{ project: 'acme/shop', gitRef: 'main' }, { project: 'acme/shop', gitRef: '*' }], /anyRef/],
    [[], /would trust every pipeline/],
  ])('%j is refused', (projects, words) => {
    expect(() => role(projects)).toThrow(words);
  });

  test('asked for by name, every branch of a project may', () => {
    expect(conditions(role([{ project: 'acme/shop', gitRef: '*', anyRef: true }])).StringLike).toEqual({
      'gitlab.acme.example:sub': 'project_path:acme/shop:ref_type:branch:ref:*',
    });
  });
});

test.each(['http://x', 'https://x/', 'https://'])('%s is no issuer', (url) => {
  expect(() => new GitLabOidcProvider(aStack(), 'P', { url })).toThrow(/is no issuer/);
});
