import { Fn, Token } from 'aws-cdk-lib';
import { ISecret } from 'aws-cdk-lib/aws-secretsmanager';

/** A provider's token, and where the provider is. */
export interface ProviderOptions {
  /**
   * The secret that holds the token: as text, or as a field of a JSON object.
   */
  readonly token: ISecret;
  /**
   * The field of the JSON object.
   * @default - the whole secret is the token
   */
  readonly tokenField?: string;
  /**
   * Base URL of the REST API, for a server of your own.
   * @default - the provider's public service
   */
  readonly baseUrl?: string;
}

/** GitHub: a token, or a GitHub App with its private key. */
export interface GitHubOptions extends ProviderOptions {
  /**
   * ID of a GitHub App; `token` then holds its private key.
   * @default - `token` is a fine-grained or classic token
   */
  readonly appId?: string;
}

/** Bitbucket: an access token, or an API token with the e-mail of its account. */
export interface BitbucketOptions extends ProviderOptions {
  /**
   * E-mail of the Atlassian account; `token` is then its API token.
   * @default - `token` is an access token of a repository, project or workspace
   */
  readonly email?: string;
  /**
   * When the token ends, as YYYY-MM-DD: Bitbucket does not tell.
   * @default - keyrota cannot warn
   */
  readonly expires?: string;
}

/** A provider that has no class of its own here: CircleCI, Kubernetes, Parameter Store, HCP Terraform, Azure DevOps, Buildkite, Forgejo, Gitea, or a plug-in's. */
export interface OtherProvider {
  /** The provider's name in the configuration, such as `circleci`; its targets are `OtherTarget`s. */
  readonly provider: string;
  /**
   * Its settings, as `keyrota schema` describes them; a token is referred to, such as `secretsmanager:ARN`.
   * @default - none
   */
  readonly settings?: { readonly [name: string]: any };
  /**
   * The secrets that the settings refer to: the functions may read them.
   * @default - none
   */
  readonly tokens?: ISecret[];
}

/** The providers whose variables are written. */
export interface ProvidersProps {
  /**
   * Bitbucket.
   * @default - no target is there
   */
  readonly bitbucket?: BitbucketOptions;
  /**
   * GitHub.
   * @default - no target is there
   */
  readonly github?: GitHubOptions;
  /**
   * GitLab.
   * @default - no target is there
   */
  readonly gitlab?: ProviderOptions;
  /**
   * Any other provider that keyrota knows.
   * @default - none
   */
  readonly others?: OtherProvider[];
}

/** Names the token as the configuration refers to it. */
function reference(options: ProviderOptions): string {
  return `secretsmanager:${options.token.secretArn}${options.tokenField ? `#${options.tokenField}` : ''}`;
}

const DATE = /^\d{4}-\d\d-\d\d$/;

/** Writes `providers:` of the configuration. */
export function providerEntries(props: ProvidersProps): { [name: string]: any } {
  const entries: { [name: string]: any } = {};
  const { bitbucket, github, gitlab } = props;
  if (bitbucket) {
    if (bitbucket.expires !== undefined && !(DATE.test(bitbucket.expires) && Date.parse(bitbucket.expires))) {
      throw new Error(`providers.bitbucket.expires is "${bitbucket.expires}": write a date, such as 2026-12-20`);
    }
    const auth = bitbucket.email
      ? { email: bitbucket.email, api_token: reference(bitbucket) }
      : { token: reference(bitbucket) };
    entries.bitbucket = { ...address(bitbucket), ...(bitbucket.expires ? { expires: bitbucket.expires } : {}), auth };
  }
  if (github) {
    const auth = github.appId
      ? { app_id: github.appId, private_key: reference(github) }
      : { token: reference(github) };
    entries.github = { ...address(github), auth };
  }
  if (gitlab) {
    entries.gitlab = { ...address(gitlab), auth: { token: reference(gitlab) } };
  }
  for (const other of props.others ?? []) {
    if (entries[other.provider] !== undefined) {
      throw new Error(`providers: ${other.provider} is given twice`);
    }
    entries[other.provider] = other.settings ?? {};
  }
  return entries;
}

function address(options: ProviderOptions): { [name: string]: any } {
  return options.baseUrl ? { base_url: options.baseUrl } : {};
}

/** Lists the hosts of the base URLs that are given: this code lies outside of the configuration, and allows them. */
export function hosts(props: ProvidersProps): string[] {
  const urls = [props.bitbucket, props.github, props.gitlab].map((options) => options?.baseUrl);
  const others = (props.others ?? []).map((other) => other.settings?.base_url);
  return [...new Set([...urls, ...others].filter((url) => typeof url === 'string').map(hostOf))];
}

function hostOf(url: string): string {
  return Token.isUnresolved(url) ? Fn.select(2, Fn.split('/', url)) : new URL(url).host;
}

/** Lists the secrets that hold tokens. */
export function tokens(props: ProvidersProps): ISecret[] {
  const typed = [props.bitbucket, props.github, props.gitlab].flatMap((options) => (options ? [options.token] : []));
  return [...typed, ...(props.others ?? []).flatMap((other) => other.tokens ?? [])];
}
