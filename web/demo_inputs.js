// The pictures and the video that workflows of the demo begin with come into the input folder when one is opened.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const OURS = /^helios_demo_\w+\.(png|mp4)$/;

/** Whether the loaders list a file. */
function isThere(name) {
    return ["LoadImage", "LoadVideo"].some(type => {
        const inputs = LiteGraph.registered_node_types[type]?.nodeData?.input?.required ?? {};
        return JSON.stringify(inputs.image ?? inputs.file ?? "").includes(JSON.stringify(name));
    });
}

/** Put one of our files into the input folder; whether that was done. */
async function bring(name) {
    const file = await fetch(new URL(`demo/${name}`, import.meta.url));
    if (!file.ok) return false;
    const body = new FormData();
    body.append("image", new File([await file.blob()], name));
    return (await api.fetchApi("/upload/image", { method: "POST", body })).ok;
}

app.registerExtension({
    name: "Helios.DemoInputs",
    async beforeConfigureGraph(workflow) {
        const values = (workflow.nodes ?? [])
            .filter(node => node.type === "LoadImage" || node.type === "LoadVideo")
            .flatMap(node => Object.values(node.widgets_values ?? {}));
        const names = [...new Set(values)].filter(value => OURS.test(value) && !isThere(value));
        const brought = await Promise.all(names.map(name => bring(name).catch(() => false)));
        // Else the loaders would not list the new files.
        if (brought.includes(true)) await (app.reloadNodeDefs ?? app.refreshComboInNodes).call(app);
    },
});
