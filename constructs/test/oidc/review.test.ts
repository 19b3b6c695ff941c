import { App, CfnParameter, Fn, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { ManagedPolicy } from 'aws-cdk-lib/aws-iam';
import {
  BitbucketOidcProvider,
  BitbucketOidcRole,
  BitbucketRepository,
  GitHubOidcProvider,
  GitHubOidcProviderProps,
  GitHubOidcRole,
  GitHubRepository,
  GitHubSubjectForm,
  GitLabOidcProvider,
  GitLabOidcProviderProps,
  GitLabOidcRole,
  GitLabProject,
  GitLabRefType,
  ICiOidcProvider,
} from '../../lib';
import { ciRole } from '../../lib/oidc/role';

const REPO = '1de489be-ce6a-42a0-a8c8-eadbf1174ac7';
const OTHER = '99997777-5555-4333-8111-aaaabbbbcccc';
const ENV = 'bd715740-c970-486b-b68a-b421ec2a1f8b';
const STEP = '759de0c6-eaee-4eaa-b7a6-c507eec759a7';
const WORKSPACE = '922e118c-f34f-4226-a897-0e0afbec553d';
const BITBUCKET = 'api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc';
const GITHUB = 'token.actions.githubusercontent.com';
const GITLAB = 'gitlab.com';

const { CLASSIC, IMMUTABLE, BOTH } = GitHubSubjectForm;
const IDS = { ownerId: '123456', repositoryId: '456789' };
const MAIN = { repository: 'acme/shop', gitRef: 'refs/heads/main' };

function aStack(): Stack {
  return new Stack(new App(), 'Stack');
}

function aParameter(stack: Stack): string {
  return new CfnParameter(stack, 'Parameter').valueAsString;
}

function bitbucket(repositories: BitbucketRepository[], provider?: ICiOidcProvider): Stack {
  const stack = aStack();
  new BitbucketOidcRole(stack, 'R', {
    provider: provider ?? new BitbucketOidcProvider(stack, 'P', { workspace: 'acme', workspaceUuid: WORKSPACE }),
    repositories,
  });
  return stack;
}

function gitHub(repositories: GitHubRepository[], subjectForm = CLASSIC, provider?: ICiOidcProvider): Stack {
  const stack = aStack();
  new GitHubOidcRole(stack, 'R', { provider: provider ?? new GitHubOidcProvider(stack, 'P'), repositories, subjectForm });
  return stack;
}

function gitLab(projects: GitLabProject[], provider?: ICiOidcProvider): Stack {
  const stack = aStack();
  new GitLabOidcRole(stack, 'R', { provider: provider ?? new GitLabOidcProvider(stack, 'P'), projects });
  return stack;
}

/** IAM's own reading: operators and keys are joined by and, values by or; `*` crosses `/` and `:`. */
function admits(stack: Stack, token: { readonly sub: string; readonly aud: string }): boolean {
  const [role] = Object.values(Template.fromStack(stack).findResources('AWS::IAM::Role')) as any[];
  const [statement, ...rest] = role.Properties.AssumeRolePolicyDocument.Statement;
  expect(rest).toEqual([]);
  const asked: string[] = [];
  const held = Object.entries<any>(statement.Condition).flatMap(([operator, keys]) =>
    Object.entries<any>(keys).map(([key, values]) => {
      const claim = key.split(':').pop() as 'sub' | 'aud';
      asked.push(claim);
      return [values].flat().some((value: string) => matches(operator, value, token[claim]));
    }),
  );
  expect(asked.sort()).toEqual(['aud', 'sub']);
  return held.every(Boolean);
}

function matches(operator: string, pattern: string, value: string): boolean {
  // A policy variable stands for a claim of the caller's own token.
  if (pattern.includes('${')) return true;
  if (operator === 'StringEquals') return pattern === value;
  expect(operator).toBe('StringLike');
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[\\s\\S]*').replace(/\?/g, '[\\s\\S]');
  return new RegExp(`^${escaped}$`).test(value);
}

describe('who gets in, and who does not', () => {
  const ari = `ari:cloud:bitbucket::workspace/${WORKSPACE}`;

  test.each<[string, BitbucketRepository[], string, boolean]>([
    ['a deployment step', [{ repositoryUuid: REPO, environmentUuid: ENV }], `{${REPO}}:{${ENV}}:{${STEP}}`, true],
    ['the next run', [{ repositoryUuid: REPO, environmentUuid: ENV }], `{${REPO}}:{${ENV}}:{${OTHER}}`, true],
    ['another environment', [{ repositoryUuid: REPO, environmentUuid: ENV }], `{${REPO}}:{${OTHER}}:{${STEP}}`, false],
    ['a step outside of deployments', [{ repositoryUuid: REPO, environmentUuid: ENV }], `{${REPO}}:{${STEP}}`, false],
    ['another repository with that environment', [{ repositoryUuid: REPO, environmentUuid: ENV }], `{${OTHER}}:{${ENV}}:{${STEP}}`, false],
    ['any step, asked for', [{ repositoryUuid: REPO, anyStep: true }], `{${REPO}}:{${STEP}}`, true],
    ['any deployment step, asked for', [{ repositoryUuid: REPO, anyStep: true }], `{${REPO}}:{${ENV}}:{${STEP}}`, true],
    ['another repository', [{ repositoryUuid: REPO, anyStep: true }], `{${OTHER}}:{${STEP}}`, false],
    ['UUIDs typed in capitals', [{ repositoryUuid: REPO.toUpperCase(), environmentUuid: ENV.toUpperCase() }], `{${REPO}}:{${ENV}}:{${STEP}}`, true],
  ])('Bitbucket: %s', (_, repositories, sub, isIn) => {
    expect(admits(bitbucket(repositories), { sub, aud: ari })).toBe(isIn);
    expect(admits(bitbucket(repositories), { sub, aud: `ari:cloud:bitbucket::workspace/${OTHER}` })).toBe(false);
  });

  const release = { repository: 'acme/shop', gitRef: 'refs/heads/release/*', anyRef: true };
  const production = { repository: 'acme/shop', environment: 'Production EU' };

  test.each<[string, GitHubRepository[], GitHubSubjectForm, string, boolean]>([
    ['the branch', [MAIN], CLASSIC, 'repo:acme/shop:ref:refs/heads/main', true],
    ['another branch that begins so', [MAIN], CLASSIC, 'repo:acme/shop:ref:refs/heads/main-evil', false],
    ['the tag of that name', [MAIN], CLASSIC, 'repo:acme/shop:ref:refs/tags/main', false],
    ['a pull request', [MAIN], CLASSIC, 'repo:acme/shop:pull_request', false],
    ['the immutable form of a classic one', [MAIN], CLASSIC, 'repo:acme@123456/shop@456789:ref:refs/heads/main', false],
    ['the immutable form', [{ ...MAIN, ...IDS }], IMMUTABLE, 'repo:acme@123456/shop@456789:ref:refs/heads/main', true],
    ['a name that somebody took over', [{ ...MAIN, ...IDS }], IMMUTABLE, 'repo:acme/shop:ref:refs/heads/main', false],
    ['other ids under the same name', [{ ...MAIN, ...IDS }], BOTH, 'repo:acme@123456/shop@4567890:ref:refs/heads/main', false],
    ['a release branch', [release], CLASSIC, 'repo:acme/shop:ref:refs/heads/release/1', true],
    ['a branch that is called release', [release], CLASSIC, 'repo:acme/shop:ref:refs/heads/release', false],
    ['a branch beside a pattern', [MAIN, release], CLASSIC, 'repo:acme/shop:ref:refs/heads/main', true],
    ['a longer branch beside a pattern', [MAIN, release], CLASSIC, 'repo:acme/shop:ref:refs/heads/main2', false],
    ['another repository beside a pattern', [MAIN, release], CLASSIC, 'repo:acme/shop2:ref:refs/heads/main', false],
    ['an environment with a space', [production], CLASSIC, 'repo:acme/shop:environment:Production EU', true],
    ["a managed user's repository", [{ ...MAIN, repository: 'jo_acme/shop' }], CLASSIC, 'repo:jo_acme/shop:ref:refs/heads/main', true],
  ])('GitHub: %s', (_, repositories, form, sub, isIn) => {
    expect(admits(gitHub(repositories, form), { sub, aud: 'sts.amazonaws.com' })).toBe(isIn);
    expect(admits(gitHub(repositories, form), { sub, aud: 'https://github.com/acme' })).toBe(false);
  });

  const shop = { project: 'acme/shop', gitRef: 'main' };
  const any = { project: 'acme/shop', gitRef: '*', anyRef: true };

  test.each<[string, GitLabProject[], string, boolean]>([
    ['the branch', [shop], 'project_path:acme/shop:ref_type:branch:ref:main', true],
    ['the tag of that name', [shop], 'project_path:acme/shop:ref_type:tag:ref:main', false],
    ['a branch that begins so', [shop], 'project_path:acme/shop:ref_type:branch:ref:main2', false],
    ['a project below', [shop], 'project_path:acme/shop/x:ref_type:branch:ref:main', false],
    ['any branch, asked for', [any], 'project_path:acme/shop:ref_type:branch:ref:x', true],
    ['any branch, but no tag', [any], 'project_path:acme/shop:ref_type:tag:ref:x', false],
    ['a project that begins with a dot', [{ project: '.acme/.shop', gitRef: 'main' }], 'project_path:.acme/.shop:ref_type:branch:ref:main', true],
  ])('GitLab: %s', (_, projects, sub, isIn) => {
    expect(admits(gitLab(projects), { sub, aud: 'https://gitlab.com' })).toBe(isIn);
    expect(admits(gitLab(projects), { sub, aud: 'https://gitlab.example' })).toBe(false);
  });
});

describe('what is asked for by name counts for that element alone', () => {
  test.each<[string, () => Stack, RegExp]>([
    ['Bitbucket', () => bitbucket([{ repositoryUuid: REPO, anyStep: true }, { repositoryUuid: OTHER }]), /anyStep: true/],
    ['Bitbucket, turned round', () => bitbucket([{ repositoryUuid: OTHER }, { repositoryUuid: REPO, anyStep: true }]), /anyStep: true/],
    ['GitHub', () => gitHub([{ ...MAIN, gitRef: 'refs/heads/x/*', anyRef: true }, { ...MAIN, gitRef: 'refs/heads/*' }]), /anyRef: true/],
    ['GitLab', () => gitLab([{ project: 'a/b', gitRef: '*', anyRef: true }, { project: 'a/c', gitRef: '*' }]), /anyRef: true/],
  ])('%s', (_, build, words) => {
    expect(build).toThrow(words);
  });

  test('an environment and any step contradict each other', () => {
    expect(() => bitbucket([{ repositoryUuid: REPO, environmentUuid: ENV, anyStep: true }])).toThrow(/environmentUuid or anyStep/);
  });
});

describe('a value that IAM would replace is no value: a policy variable admits what the token says of itself', () => {
  const variable = '${token.actions.githubusercontent.com:environment}';

  test.each<[string, () => Stack]>([
    ['an environment', () => gitHub([{ repository: 'acme/shop', environment: variable }])],
    ['a ref', () => gitHub([{ repository: 'acme/shop', gitRef: `refs/heads/\${${GITHUB}:ref}` }])],
    ['the second ref', () => gitHub([MAIN, { repository: 'acme/shop', gitRef: 'refs/heads/${*}' }])],
    ['a pattern', () => gitHub([{ repository: 'acme/shop', gitRef: 'refs/heads/${x}/*', anyRef: true }])],
    ['a GitLab ref', () => gitLab([{ project: 'acme/shop', gitRef: '${gitlab.com:ref}' }])],
    ['a GitLab pattern', () => gitLab([{ project: 'acme/shop', gitRef: '${*}/*', anyRef: true }])],
    ['an audience', () => gitLab([], new GitLabOidcProvider(aStack(), 'P', { audience: '${gitlab.com:aud}' }))],
  ])('%s', (_, build) => {
    expect(build).toThrow(/policy variable/);
  });
});

describe('a value that only the deployment knows cannot be checked', () => {
  test.each<[string, (value: string, stack: Stack) => unknown]>([
    ['a workspace', (value, stack) => new BitbucketOidcProvider(stack, 'P', { workspace: value, workspaceUuid: WORKSPACE })],
    ['a workspace UUID', (value, stack) => new BitbucketOidcProvider(stack, 'P', { workspace: 'acme', workspaceUuid: value })],
    ['a repository UUID', (value) => bitbucket([{ repositoryUuid: value, anyStep: true }])],
    ['an environment UUID', (value) => bitbucket([{ repositoryUuid: REPO, environmentUuid: value }])],
    ['a repository', (value) => gitHub([{ ...MAIN, repository: `acme/${value}` }])],
    ['an owner ID', (value) => gitHub([{ ...MAIN, ...IDS, ownerId: value }], IMMUTABLE)],
    ['an environment', (value) => gitHub([{ repository: 'acme/shop', environment: value }])],
    ['a branch', (value) => gitHub([{ repository: 'acme/shop', gitRef: `refs/heads/${value}` }])],
    ['the second branch', (value) => gitHub([MAIN, { repository: 'acme/shop', gitRef: `refs/heads/${value}/*`, anyRef: true }])],
    ['a GitLab project', (value) => gitLab([{ project: `acme/${value}`, gitRef: 'main' }])],
    ['a GitLab branch', (value) => gitLab([{ project: 'acme/shop', gitRef: value }])],
    ['an issuer', (value, stack) => new GitLabOidcProvider(stack, 'P', { url: `https://${value}` })],
    ['an audience', (value, stack) => new GitHubOidcProvider(stack, 'P', { audience: value })],
  ])('%s', (_, build) => {
    const stack = aStack();
    expect(() => build(aParameter(stack), stack)).toThrow(/must be known at synthesis/);
  });
});

describe('values that look right and are not', () => {
  test.each<[string, GitHubRepository, RegExp]>([
    ['a colon: GitHub writes %3A', { repository: 'acme/shop', environment: 'Production:V1' }, /share a subject/],
    ['%3A: the subject of the name with a colon', { repository: 'acme/shop', environment: 'Production%3AV1' }, /share a subject/],
    ['a question mark', { repository: 'acme/shop', environment: 'prod?' }, /without a wildcard/],
    ['an empty environment', { repository: 'acme/shop', environment: '' }, /the environment ""/],
    ['blanks around an environment', { repository: 'acme/shop', environment: ' production' }, /the environment " production"/],
    ['a line break', { repository: 'acme/shop', gitRef: 'refs/heads/main\n' }, /no name of a branch or tag/],
    ['a blank', { repository: 'acme/shop', gitRef: 'refs/heads/main ' }, /no name of a branch or tag/],
    ['two slashes', { repository: 'acme/shop', gitRef: 'refs/heads//*', anyRef: true }, /no name of a branch or tag/],
    ['a colon in a ref', { repository: 'acme/shop', gitRef: 'refs/heads/main:pull_request' }, /no name of a branch or tag/],
    ['every kind of ref', { repository: 'acme/shop', gitRef: 'refs/*', anyRef: true }, /write it whole/],
    ['a question mark in a ref', { repository: 'acme/shop', gitRef: 'refs/heads/mai?', anyRef: true }, /after the last slash only/],
    ['a wildcard within a pattern', { repository: 'acme/shop', gitRef: 'refs/heads/*/x/*', anyRef: true }, /after the last slash only/],
    ['an owner of any name', { ...MAIN, repository: '*/shop' }, /owner\/name/],
    ['IDs in the name', { ...MAIN, repository: 'acme@1/shop@2' }, /owner\/name/],
  ])('GitHub: %s', (_, repository, words) => {
    expect(() => gitHub([repository])).toThrow(words);
    expect(() => gitHub([MAIN, repository])).toThrow(words);
    expect(() => gitHub([repository, MAIN])).toThrow(words);
  });

  test.each(['0', '0123', '12a', '*', ''])('GitHub: %j is no ID', (ownerId) => {
    expect(() => gitHub([{ ...MAIN, ...IDS, ownerId }], BOTH)).toThrow(/needs ownerId and repositoryId/);
    expect(() => gitHub([{ ...MAIN, ...IDS }, { ...MAIN, ...IDS, ownerId }], IMMUTABLE)).toThrow(/needs ownerId and repositoryId/);
  });

  test('GitHub: a form must be given, and GitHub knows it', () => {
    expect(() => gitHub([{ ...MAIN, ...IDS }], 'newest' as any)).toThrow(/subjectForm "newest"/);
    expect(() => gitHub([{ ...MAIN, ...IDS }], null as any)).toThrow(/subjectForm/);
  });

  test.each([IMMUTABLE, BOTH])('GitHub Enterprise Server has no %s form', (form) => {
    const provider = new GitHubOidcProvider(aStack(), 'P', { url: 'https://github.acme.example/_services/token' });
    expect(() => gitHub([{ ...MAIN, ...IDS }], form, provider)).toThrow(/Enterprise Server/);
  });

  test.each<[string, GitLabProject, RegExp]>([
    ['GitHub\'s way to write a branch', { project: 'acme/shop', gitRef: 'refs/heads/main' }, /without refs\/heads/],
    ['a type of any kind', { project: 'acme/shop', gitRef: '*', anyRef: true, refType: '*' as any }, /refType "\*"/],
    ['an empty ref', { project: 'acme/shop', gitRef: '' }, /no name of a branch or tag/],
    ['a slash alone', { project: 'acme/shop', gitRef: '/*', anyRef: true }, /no name of a branch or tag/],
    ['two wildcards', { project: 'acme/shop', gitRef: '*/*', anyRef: true }, /after the last slash only/],
    ['a wildcard after a name', { project: 'acme/shop', gitRef: 'main*', anyRef: true }, /after the last slash only/],
    ['a question mark', { project: 'acme/shop', gitRef: 'v?', refType: GitLabRefType.TAG }, /after the last slash only/],
    ['a colon', { project: 'acme/shop', gitRef: 'main:x' }, /no name of a branch or tag/],
    ['a group', { project: 'acme/', gitRef: 'main' }, /whole path/],
    ['a colon in the path', { project: 'acme/shop:ref_type', gitRef: 'main' }, /whole path/],
  ])('GitLab: %s', (_, project, words) => {
    const good = { project: 'acme/shop', gitRef: 'main' };
    expect(() => gitLab([project])).toThrow(words);
    expect(() => gitLab([good, project])).toThrow(words);
    expect(() => gitLab([project, good])).toThrow(words);
  });

  test.each(['{' + REPO, REPO + '}', '{{' + REPO + '}}', '{}', '', '*', `${REPO}:${ENV}`, `{${REPO}}:*`])('Bitbucket: %j is no UUID', (uuid) => {
    const good = { repositoryUuid: REPO, environmentUuid: ENV };
    expect(() => bitbucket([good, { repositoryUuid: uuid, anyStep: true }])).toThrow(/is no UUID/);
    expect(() => bitbucket([good, { repositoryUuid: REPO, environmentUuid: uuid }])).toThrow(/is no UUID/);
    expect(() => new BitbucketOidcProvider(aStack(), 'P', { workspace: 'acme', workspaceUuid: uuid })).toThrow(/is no UUID/);
  });

  test.each(['', '*', 'acme/other', '../evil', 'acme?x', 'a b', 'acme#', 'acme.x'])('Bitbucket: %j is no workspace', (workspace) => {
    expect(() => new BitbucketOidcProvider(aStack(), 'P', { workspace, workspaceUuid: WORKSPACE })).toThrow(/the workspace/);
    const arn = `arn:aws:iam::123456789012:oidc-provider/${BITBUCKET}`;
    expect(() => BitbucketOidcProvider.fromArn(arn, { workspace, workspaceUuid: WORKSPACE })).toThrow(/the workspace/);
  });
});

describe('a provider is checked however it came', () => {
  const arn = (issuer: string): string => `arn:aws:iam::123456789012:oidc-provider/${issuer}`;

  test.each(['http://gitlab.com', 'gitlab.com', 'https://gitlab.com/', 'https://gitlab.com:8443', 'https://', 'https://a?b', 'https://a//b', 'https://a/../b', 'https://u@a'])(
    '%s is no issuer',
    (url) => {
      expect(() => new GitLabOidcProvider(aStack(), 'P', { url, audience: 'x' })).toThrow(/is no issuer/);
      expect(() => GitLabOidcProvider.fromArn(arn('gitlab.com'), { url, audience: 'x' })).toThrow(/is no issuer/);
      expect(() => GitHubOidcProvider.fromArn(arn('gitlab.com'), { url })).toThrow(/is no issuer/);
    },
  );

  test.each(['', '*', 'sts.*', 'a?', ' ', 'a b', 'x'.repeat(256)])('%j is no audience', (audience) => {
    expect(() => new GitHubOidcProvider(aStack(), 'P', { audience })).toThrow(/audience/);
    expect(() => GitHubOidcProvider.fromArn(arn(GITHUB), { audience })).toThrow(/audience/);
    expect(() => GitLabOidcProvider.fromArn(arn(GITLAB), { audience })).toThrow(/audience/);
  });

  test.each(['', '*', 'x', 'arn:aws:iam::123456789012:oidc-provider/*', 'arn:aws:iam::123456789012:saml-provider/x', 'arn:aws:iam::*:oidc-provider/' + GITHUB, arn('gitlab.com'), arn(`${GITHUB}/acme`)])(
    '%j is not the ARN of GitHub',
    (text) => {
      expect(() => GitHubOidcProvider.fromArn(text)).toThrow(/oidc-provider\/token\.actions\.githubusercontent\.com/);
    },
  );

  test.each([arn(GITHUB), `arn:aws-cn:iam::123456789012:oidc-provider/${GITHUB}`, `arn:aws-us-gov:iam::123456789012:oidc-provider/${GITHUB}`, Fn.importValue('provider')])(
    '%s is',
    (text) => {
      const stack = gitHub([MAIN], CLASSIC, GitHubOidcProvider.fromArn(text));
      Template.fromStack(stack).resourceCountIs('AWS::IAM::OIDCProvider', 0);
      expect(admits(stack, { sub: 'repo:acme/shop:ref:refs/heads/main', aud: 'sts.amazonaws.com' })).toBe(true);
    },
  );

  test.each<[string, Partial<ICiOidcProvider>, RegExp]>([
    ['no audience', { audiences: [] }, /an audience is required/],
    ['a wildcard as the second audience', { audiences: ['sts.amazonaws.com', '*'] }, /the audience "\*"/],
    ['an empty audience behind another', { audiences: ['sts.amazonaws.com', ''] }, /the audience ""/],
    ['an unknown list of audiences', { audiences: Fn.split(',', Fn.importValue('audiences')) }, /must be known at synthesis/],
    ['no issuer', { issuer: '' }, /is no issuer/],
    ['an issuer with its scheme', { issuer: `https://${GITHUB}` }, /is no issuer/],
    ['any provider', { providerArn: '*' }, /oidc-provider/],
  ])("somebody's own: %s", (_, wrong, words) => {
    const own = { providerArn: arn(GITHUB), issuer: GITHUB, audiences: ['sts.amazonaws.com'], ...wrong };
    expect(() => gitHub([MAIN], CLASSIC, own)).toThrow(words);
  });

  test('an audience that somebody adds later is checked as well', () => {
    const stack = aStack();
    const provider = new GitHubOidcProvider(stack, 'P');
    provider.audiences.push('*');
    expect(() => new GitHubOidcRole(stack, 'R', { provider, repositories: [MAIN], subjectForm: CLASSIC })).toThrow(/the audience "\*"/);
  });

  test.each<[string, (provider: ICiOidcProvider) => Stack, ICiOidcProvider]>([
    ['Bitbucket with GitHub', (provider) => bitbucket([{ repositoryUuid: REPO, anyStep: true }], provider), GitHubOidcProvider.fromArn(arn(GITHUB))],
    ['Bitbucket with a server', (provider) => bitbucket([{ repositoryUuid: REPO, anyStep: true }], provider), GitLabOidcProvider.fromArn(arn('git.example'), { url: 'https://git.example' })],
    ['GitHub with GitLab', (provider) => gitHub([MAIN], CLASSIC, provider), GitLabOidcProvider.fromArn(arn(GITLAB))],
    ['GitLab with Bitbucket', (provider) => gitLab([{ project: 'a/b', gitRef: 'c' }], provider), BitbucketOidcProvider.fromArn(arn(BITBUCKET), { workspace: 'acme', workspaceUuid: WORKSPACE })],
    ['GitLab with an enterprise of GitHub', (provider) => gitLab([{ project: 'a/b', gitRef: 'c' }], provider), GitHubOidcProvider.fromArn(arn(`${GITHUB}/acme`), { url: `https://${GITHUB}/acme` })],
  ])('%s is refused', (_, build, provider) => {
    expect(() => build(provider)).toThrow(/is not the issuer of/);
  });

  test.each<[string, string[]]>([
    ['a name', ['gitlab.com']],
    ['the second is none', ['a031c46782e6e6c662c2c87c76da9aa62ccabd8e', '*']],
    ['more than five', Array(6).fill('a031c46782e6e6c662c2c87c76da9aa62ccabd8e')],
  ])('thumbprints: %s', (_, thumbprints) => {
    expect(() => new GitLabOidcProvider(aStack(), 'P', { thumbprints })).toThrow(/thumbprint/);
  });

  test('thumbprints are given on, and left out where there are none', () => {
    const stack = aStack();
    const thumbprints = ['a031c46782e6e6c662c2c87c76da9aa62ccabd8e'];
    const server: GitLabOidcProviderProps = { url: 'https://gitlab.acme.example', thumbprints };
    const enterprise: GitHubOidcProviderProps = { url: `https://${GITHUB}/acme` };
    new GitLabOidcProvider(stack, 'L', server);
    new GitHubOidcProvider(stack, 'H', enterprise);
    const template = Template.fromStack(stack);
    template.hasResourceProperties('AWS::IAM::OIDCProvider', { Url: server.url, ThumbprintList: thumbprints });
    template.hasResourceProperties('AWS::IAM::OIDCProvider', { Url: enterprise.url, ThumbprintList: Match.absent() });
    template.resourceCountIs('AWS::Lambda::Function', 0);
  });
});

describe('the last gate: whatever a family made', () => {
  const provider = { providerArn: `arn:aws:iam::123456789012:oidc-provider/${GITHUB}`, issuer: GITHUB, audiences: ['sts.amazonaws.com'] };

  test.each([
    '*',
    '',
    ':*',
    '::*',
    '/*',
    'repo:*',
    'repo:acme*',
    'repo:acme/*',
    'repo:acme/shop:*',
    'repo:acme/shop:ref:*',
    'repo:acme/shop:ref:refs/*',
    'repo:acme/shop:environment:*',
    'repo:acme/shop:ref:refs/heads/main*',
    'repo:*:x',
    'repo:acme/shop:?',
    'repo:acme/shop:environment:${x}',
    'project_path:acme/shop:ref_type:branch:ref:main',
  ])('%j', (subject) => {
    const good = 'repo:acme/shop:pull_request';
    expect(() => ciRole(aStack(), provider, [subject], 'GitHub Actions', {})).toThrow(/would trust more|policy variable/);
    expect(() => ciRole(aStack(), provider, [good, subject], 'GitHub Actions', {})).toThrow(/would trust more|policy variable/);
  });

  test('a subject that is named twice stands there once', () => {
    const stack = gitHub([MAIN, MAIN]);
    Template.fromStack(stack).hasResourceProperties('AWS::IAM::Role', {
      AssumeRolePolicyDocument: { Statement: [{ Condition: { StringEquals: { [`${GITHUB}:sub`]: 'repo:acme/shop:ref:refs/heads/main' } } }] },
    });
  });

  test('a role has what it was given, and nothing else', () => {
    const stack = aStack();
    new GitHubOidcRole(stack, 'R', {
      provider: new GitHubOidcProvider(stack, 'P'),
      repositories: [MAIN],
      subjectForm: CLASSIC,
      roleName: 'deploy',
      description: 'deploys the shop',
      managedPolicies: [ManagedPolicy.fromManagedPolicyArn(stack, 'M', 'arn:aws:iam::123456789012:policy/deploy')],
      permissionsBoundary: ManagedPolicy.fromManagedPolicyArn(stack, 'B', 'arn:aws:iam::123456789012:policy/boundary'),
    });
    const [role] = Object.values(Template.fromStack(stack).findResources('AWS::IAM::Role')) as any[];
    expect(role.Properties).toEqual({
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Action: 'sts:AssumeRoleWithWebIdentity',
            Principal: { Federated: expect.anything() },
            Condition: { StringEquals: { [`${GITHUB}:aud`]: 'sts.amazonaws.com', [`${GITHUB}:sub`]: 'repo:acme/shop:ref:refs/heads/main' } },
          },
        ],
      },
      RoleName: 'deploy',
      Description: 'deploys the shop',
      MaxSessionDuration: 3600,
      ManagedPolicyArns: ['arn:aws:iam::123456789012:policy/deploy'],
      PermissionsBoundary: 'arn:aws:iam::123456789012:policy/boundary',
    });
  });
});
