// @octokit/rest against the emulator of GitHub.
import { Octokit } from "@octokit/rest";

const octokit = new Octokit({ baseUrl: process.env.BASE_URL, auth: process.env.GITHUB_TOKEN, log: { debug() {}, info() {}, warn() {}, error() {} } });
const repository = { owner: "acme", repo: "shop" };
const environment = { ...repository, environment_name: "production" };
const refused = async (call) => { try { await call(); return "accepted"; } catch (error) { return error.status; } };
const result = {};

result.user = (await octokit.users.getAuthenticated()).data.login;
result.limit = (await octokit.rateLimit.get()).data.resources.core.limit;
result.organization = (await octokit.orgs.get({ org: "acme" })).data.login;
result.url = (await octokit.repos.get(repository)).data.url === `${process.env.BASE_URL}/repos/acme/shop`;
await octokit.repos.createOrUpdateEnvironment({ ...repository, environment_name: "a/b ü" });
result.environments = (await octokit.repos.getAllEnvironments(repository)).data.environments.map((one) => one.name).sort();
await octokit.repos.deleteAnEnvironment({ ...repository, environment_name: "a/b ü" });
result.gone = await refused(() => octokit.repos.getEnvironment({ ...repository, environment_name: "a/b ü" }));

for (let number = 0; number < 12; number++) await octokit.actions.createRepoVariable({ ...repository, name: `V${number}`, value: `${number}` });
result.paginated = (await octokit.paginate(octokit.actions.listRepoVariables, repository)).length;
await octokit.actions.updateRepoVariable({ ...repository, name: "V1", value: "new" });
result.value = (await octokit.actions.getRepoVariable({ ...repository, name: "V1" })).data.value;
await octokit.request("PATCH /repos/{owner}/{repo}/actions/variables/{old}", { ...repository, old: "V1", data: { name: "W1" } });
result.renamed = [await refused(() => octokit.actions.getRepoVariable({ ...repository, name: "V1" })), (await octokit.actions.getRepoVariable({ ...repository, name: "W1" })).data.value];
result.twice = await refused(() => octokit.actions.createRepoVariable({ ...repository, name: "V2", value: "x" }));
await octokit.actions.deleteRepoVariable({ ...repository, name: "V2" });
result.deleted = await refused(() => octokit.actions.getRepoVariable({ ...repository, name: "V2" }));

await octokit.actions.createEnvironmentVariable({ ...environment, name: "EV", value: "e" });
result.environmentVariable = (await octokit.actions.getEnvironmentVariable({ ...environment, name: "EV" })).data.value;
result.key = Object.keys((await octokit.actions.getEnvironmentPublicKey(environment)).data).sort();
result.secrets = (await octokit.actions.listRepoSecrets(repository)).data.total_count;
result.noBox = await refused(() => octokit.actions.createOrUpdateRepoSecret({ ...repository, secret_name: "S", encrypted_value: "bm9uZQ==", key_id: "1" }));
result.page = await refused(() => octokit.actions.listRepoSecrets({ ...repository, per_page: "many", page: "x" }));

await octokit.actions.createOrgVariable({ org: "acme", name: "OV", value: "o", visibility: "selected", selected_repository_ids: [] });
const { id } = (await octokit.repos.get(repository)).data;
await octokit.actions.setSelectedReposForOrgVariable({ org: "acme", name: "OV", selected_repository_ids: [id] });
result.selected = (await octokit.actions.listSelectedReposForOrgVariable({ org: "acme", name: "OV" })).data.repositories.map((one) => one.name);
await octokit.actions.removeSelectedRepoFromOrgVariable({ org: "acme", name: "OV", repository_id: id });
result.unselected = (await octokit.actions.listSelectedReposForOrgVariable({ org: "acme", name: "OV" })).data.total_count;
result.kept = (await octokit.actions.getOrgVariable({ org: "acme", name: "OV" })).data.value;
await octokit.actions.deleteOrgVariable({ org: "acme", name: "OV" });
result.runs = (await octokit.actions.listWorkflowRunsForRepo({ ...repository, status: "waiting" })).data.total_count;
console.log(JSON.stringify(result));
