import { Token } from 'aws-cdk-lib';

/** What a target says of itself: the provider's name, and its entry in the configuration. */
export interface TargetEntry {
  /** The provider's name in the configuration: bitbucket, github, gitlab, … */
  readonly provider: string;
  /** The settings of the target, as `keyrota schema` describes them. */
  readonly settings: { readonly [name: string]: any };
}

/** A place where a pipeline finds its access key. */
export abstract class Target {
  /** Returns the target's entry in the configuration. */
  public abstract entry(): TargetEntry;
}

/** Names of the two variables, and how the write waits; the same at every provider. */
export interface VariableOptions {
  /**
   * Name of the variable for the access key ID.
   * @default AWS_ACCESS_KEY_ID
   */
  readonly idVariable?: string;
  /**
   * Name of the variable for the secret access key.
   * @default AWS_SECRET_ACCESS_KEY
   */
  readonly secretVariable?: string;
  /**
   * Hold a write until no run is in progress, at most so long, such as `10m`.
   * @default - a write waits for no run
   */
  readonly waitForIdle?: string;
}

/** The variables of a Bitbucket deployment environment. */
export interface BitbucketDeploymentProps extends VariableOptions {
  /** The workspace's slug. */
  readonly workspace: string;
  /** The repository's slug. */
  readonly repository: string;
  /** The deployment environment's name or UUID. */
  readonly environment: string;
}

/** The variables of a Bitbucket deployment environment. */
export class BitbucketDeployment extends Target {
  constructor(private readonly props: BitbucketDeploymentProps) {
    super();
    filled('BitbucketDeployment', { workspace: props.workspace, repository: props.repository, environment: props.environment });
    common(props);
  }

  public entry(): TargetEntry {
    const { workspace, repository, environment } = this.props;
    return { provider: 'bitbucket', settings: { workspace, repository, environment, ...common(this.props) } };
  }
}

/** The secrets of GitHub Actions, or of Dependabot. */
export interface GitHubSecretProps extends VariableOptions {
  /**
   * `owner/name`; or name an organization.
   * @default - an organization's secrets
   */
  readonly repository?: string;
  /**
   * An environment of the repository.
   * @default - the repository's own secrets
   */
  readonly environment?: string;
  /**
   * An organization; or name a repository.
   * @default - a repository's secrets
   */
  readonly organization?: string;
  /**
   * The secrets of Dependabot.
   * @default false
   */
  readonly dependabot?: boolean;
  /**
   * Write the access key ID as a readable variable beside the secrets as well.
   * @default false
   */
  readonly marker?: boolean;
}

/** The secrets of GitHub Actions, or of Dependabot: of a repository, an environment or an organization. */
export class GitHubSecret extends Target {
  constructor(private readonly props: GitHubSecretProps) {
    super();
    if ((props.repository === undefined) === (props.organization === undefined)) {
      throw new Error('GitHubSecret: name either a repository ("owner/name") or an organization');
    }
    if (props.repository !== undefined && !/^[^/]+\/[^/]+$/.test(props.repository)) {
      throw new Error(`GitHubSecret: the repository "${props.repository}" must be "owner/name"`);
    }
    if (props.environment !== undefined && (props.repository === undefined || props.dependabot)) {
      throw new Error('GitHubSecret: an environment belongs to the Actions secrets of a repository');
    }
    if (props.dependabot && props.marker) {
      throw new Error('GitHubSecret: Dependabot has no variables: leave marker out');
    }
    filled('GitHubSecret', { environment: props.environment, organization: props.organization });
    if (props.waitForIdle !== undefined && props.repository === undefined) {
      throw new Error('GitHubSecret: waitForIdle waits for the runs of a repository');
    }
    common(props);
  }

  public entry(): TargetEntry {
    const { repository, environment, organization, dependabot, marker } = this.props;
    return {
      provider: 'github',
      settings: defined({ repository, environment, organization, dependabot, marker, ...common(this.props) }),
    };
  }
}

/** CI/CD variables of GitLab. */
export interface GitLabVariableProps extends VariableOptions {
  /**
   * Path of a project, such as `acme/platform/shop`.
   * @default - a group's or the instance's variables
   */
  readonly project?: string;
  /**
   * Path of a group.
   * @default - a project's or the instance's variables
   */
  readonly group?: string;
  /**
   * The variables of the whole instance.
   * @default false
   */
  readonly instance?: boolean;
  /**
   * The environment scope.
   * @default - all environments
   */
  readonly environmentScope?: string;
  /**
   * Only for protected branches and tags, when the variable is created.
   * @default - GitLab's own
   */
  readonly isProtected?: boolean;
  /**
   * Masked in job logs, when the variable is created.
   * @default - as keyrota's configuration reference says
   */
  readonly masked?: boolean;
}

/** CI/CD variables of GitLab: of a project, a group or the instance. */
export class GitLabVariable extends Target {
  constructor(private readonly props: GitLabVariableProps) {
    super();
    const named = [props.project, props.group, props.instance || undefined].filter((place) => place !== undefined);
    if (named.length !== 1) {
      throw new Error('GitLabVariable: name one of project, group and instance');
    }
    filled('GitLabVariable', { project: props.project, group: props.group, environmentScope: props.environmentScope });
    if (props.instance && props.environmentScope !== undefined) {
      throw new Error('GitLabVariable: variables of the instance have no environment scope');
    }
    if (props.waitForIdle !== undefined && props.project === undefined) {
      throw new Error('GitLabVariable: waitForIdle waits for the pipelines of a project');
    }
    common(props);
  }

  public entry(): TargetEntry {
    const { project, group, instance, environmentScope, isProtected, masked } = this.props;
    return {
      provider: 'gitlab',
      settings: defined({
        project,
        group,
        instance,
        environment_scope: environmentScope,
        protected: isProtected,
        masked,
        ...common(this.props),
      }),
    };
  }
}

/** Any other target that keyrota knows: CircleCI, Kubernetes, Parameter Store, HCP Terraform, Azure DevOps, Buildkite, Forgejo, Gitea, or a plug-in's. */
export interface OtherTargetProps {
  /** The provider's name in the configuration, such as `circleci`. */
  readonly provider: string;
  /** The settings of the target, as `keyrota schema` describes them. */
  readonly settings: { readonly [name: string]: any };
}

/** Any other target that keyrota knows. */
export class OtherTarget extends Target {
  constructor(private readonly props: OtherTargetProps) {
    super();
  }

  public entry(): TargetEntry {
    return this.props;
  }
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** As keyrota reads a duration: `10m`, `1d12h`, or ISO 8601. */
const DURATION = /^((?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?|P(?=\d|T\d)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)$/;

function filled(target: string, fields: { [name: string]: string | undefined }): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && !value.trim()) {
      throw new Error(`${target}: ${name} must not be empty`);
    }
  }
}

function common(props: VariableOptions): { [name: string]: any } {
  const id = props.idVariable ?? 'AWS_ACCESS_KEY_ID';
  const secret = props.secretVariable ?? 'AWS_SECRET_ACCESS_KEY';
  if (id === secret) {
    throw new Error(`idVariable and secretVariable are both ${id}: they must be two names`);
  }
  for (const name of [id, secret]) {
    if (!Token.isUnresolved(name) && !VARIABLE.test(name)) {
      throw new Error(`"${name}" is no name for a variable`);
    }
  }
  if (props.waitForIdle !== undefined && !DURATION.test(props.waitForIdle)) {
    throw new Error(`waitForIdle is "${props.waitForIdle}": write minutes or hours, such as 10m`);
  }
  const names = defined({ id: props.idVariable, secret: props.secretVariable });
  return defined({ names: Object.keys(names).length ? names : undefined, wait_for_idle: props.waitForIdle });
}

function defined(entries: { [name: string]: any }): { [name: string]: any } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));
}
