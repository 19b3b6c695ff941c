// npm's bitbucket against the emulator of Bitbucket.
import pkg from "bitbucket";

const { Bitbucket } = pkg;
const bitbucket = new Bitbucket({ baseUrl: `${process.env.BASE_URL}/2.0`, notice: false, auth: { token: process.env.BITBUCKET_TOKEN } });
const shop = { workspace: "acme", repo_slug: "shop" };
const refused = async (call) => { try { await call(); return "accepted"; } catch (error) { return error.status ?? String(error); } };
const result = {};

result.repository = (await bitbucket.repositories.get(shop)).data.full_name;
const made = (await bitbucket.pipelines.createVariable({ ...shop, _body: { key: "K", value: "v", secured: false } })).data;
result.made = [made.key, made.value];
result.again = await refused(() => bitbucket.pipelines.createVariable({ ...shop, _body: { key: "K", value: "v" } }));
await bitbucket.repositories.updatePipelineVariable({ ...shop, variable_uuid: made.uuid, _body: { value: "new" } });
result.updated = (await bitbucket.repositories.getPipelineVariable({ ...shop, variable_uuid: made.uuid })).data.value;
result.deleted = (await bitbucket.repositories.deletePipelineVariable({ ...shop, variable_uuid: made.uuid })).status;
result.listed = (await bitbucket.repositories.listPipelineVariables(shop)).data.values.length;
const stage = (await bitbucket.deployments.createEnvironment({ ...shop, _body: { name: "Stage 2", environment_type: { name: "Staging" } } })).data;
result.environment = stage.name;
result.environments = (await bitbucket.deployments.listEnvironments(shop)).data.values.length;
const of = { ...shop, environment_uuid: stage.uuid };
const variable = (await bitbucket.repositories.createDeploymentVariable({ ...of, _body: { key: "E", value: "e", secured: false } })).data;
result.variables = (await bitbucket.repositories.listDeploymentVariables(of)).data.values.map((one) => one.key);
result.variableDeleted = (await bitbucket.repositories.deleteDeploymentVariable({ ...of, variable_uuid: variable.uuid })).status;
result.environmentDeleted = (await bitbucket.repositories.deleteEnvironment(of)).status;
result.gone = await refused(() => bitbucket.repositories.getEnvironment(of));
console.log(JSON.stringify(result));
