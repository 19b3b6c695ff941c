// gitea-js against the emulator of Gitea.
import { giteaApi } from "gitea-js";

const api = giteaApi(process.env.BASE_URL, { token: process.env.GITEA_TOKEN, customFetch: fetch });
const refused = async (call) => { try { await call(); return "accepted"; } catch (error) { return error.status; } };
const result = {};

result.user = (await api.user.userGetCurrent()).data.login;
result.repository = (await api.repos.repoGet("acme", "shop")).data.full_name;
result.missing = await refused(() => api.repos.repoGet("acme", "none"));
result.secret = (await api.repos.updateRepoSecret("acme", "shop", "S", { data: "secret" })).status;
result.secretAgain = (await api.repos.updateRepoSecret("acme", "shop", "S", { data: "newer" })).status;
result.secrets = (await api.repos.repoListActionsSecrets("acme", "shop")).data.map((one) => one.name);
await api.repos.createRepoVariable("acme", "shop", "V", { value: "v" });
result.variable = (await api.repos.getRepoVariable("acme", "shop", "V")).data.data;
result.again = await refused(() => api.repos.createRepoVariable("acme", "shop", "V", { value: "x" }));
await api.repos.updateRepoVariable("acme", "shop", "V", { name: "W", value: "new" });
result.renamed = [await refused(() => api.repos.getRepoVariable("acme", "shop", "V")), (await api.repos.getRepoVariable("acme", "shop", "W")).data.data];
result.variables = (await api.repos.getRepoVariablesList("acme", "shop")).data.map((one) => one.name);
await api.repos.deleteRepoVariable("acme", "shop", "W");
result.gone = await refused(() => api.repos.getRepoVariable("acme", "shop", "W"));
await api.repos.deleteRepoSecret("acme", "shop", "S");
result.secretsLater = (await api.repos.repoListActionsSecrets("acme", "shop")).data.length;
result.organization = (await api.orgs.updateOrgSecret("acme", "O", { data: "o" })).status;
console.log(JSON.stringify(result));
