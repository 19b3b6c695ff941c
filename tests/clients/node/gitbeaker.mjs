// @gitbeaker/rest against the emulator of GitLab.
import { Gitlab } from "@gitbeaker/rest";

const lab = new Gitlab({ host: process.env.BASE_URL, token: process.env.GITLAB_TOKEN });
const refused = async (call) => { try { await call(); return "accepted"; } catch (error) { return error.cause?.response?.status ?? String(error); } };
const variables = lab.ProjectVariables;
const result = {};

result.user = (await lab.Users.showCurrentUser()).username;
result.project = (await lab.Projects.show("acme/shop")).path_with_namespace;
for (let number = 0; number < 22; number++) await variables.create("acme/shop", `V${number}`, `${number}`);
result.all = (await variables.all("acme/shop")).length;
await variables.create("acme/shop", "K", "of all", { environmentScope: "*" });
await variables.create("acme/shop", "K", "of production", { environmentScope: "production" });
result.ambiguous = await refused(() => variables.show("acme/shop", "K"));
result.filtered = (await variables.show("acme/shop", "K", { filter: { environment_scope: "production" } })).value;
await variables.edit("acme/shop", "K", "new", { filter: { environment_scope: "production" } });
result.edited = (await variables.show("acme/shop", "K", { filter: { environment_scope: "production" } })).value;
result.kept = (await variables.show("acme/shop", "K", { filter: { environment_scope: "*" } })).value;
await variables.remove("acme/shop", "K", { filter: { environment_scope: "production" } });
result.left = (await variables.show("acme/shop", "K")).value;
result.gone = await refused(() => variables.show("acme/shop", "NONE"));
await lab.GroupVariables.create("acme", "G", "of the group");
result.group = (await lab.GroupVariables.show("acme", "G")).value;
await lab.GroupVariables.remove("acme", "G");
result.groupLater = (await lab.GroupVariables.all("acme")).length;
await lab.InstanceLevelCICDVariables.create("I", "of the instance");
result.instance = (await lab.InstanceLevelCICDVariables.show("I")).value;
await lab.InstanceLevelCICDVariables.remove("I");
console.log(JSON.stringify(result));
