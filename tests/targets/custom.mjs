// Reads objects of Kubernetes as a JSON array and prints what their models refuse: node custom.mjs MODULES < OBJECTS
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = { "argoproj.io": "argo-rollouts", "monitoring.coreos.com": "prometheus-operator" };

const complaints = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const [group, version] = object.apiVersion.split("/");
  const folder = join(process.argv[2], "@kubernetes-models", PACKAGES[group], group, version);
  const models = await import(pathToFileURL(join(folder, `${object.kind}.js`)));
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    complaints.push(`${object.kind}: ${error.message}`);
  }
}
console.log(JSON.stringify(complaints));
