// What a Helios node says against a value, in the first thing that is shown.
//
// The frontend has words of its own for such an error, which name the input and keep the node's sentence for a panel
// that opens later. Two kinds of error are shown in their own words, one in older frontends and one in newer: the
// errors of Helios nodes become these.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const [major, minor] = (window.__COMFYUI_FRONTEND_VERSION__ ?? "").split(".").map(Number);
const OWN_WORDS = major === 1 && minor < 47;

function reword(nodeErrors) {
  // Without the errors tab there is a dialog, which shows everything as it is.
  if (!app.extensionManager?.setting?.get("Comfy.RightSidePanel.ShowErrorsTab")) return;
  for (const { class_type, errors } of Object.values(nodeErrors ?? {})) {
    if (!class_type?.startsWith("Helios")) continue;
    for (const error of errors) {
      const input = error.extra_info?.input_name;
      const sentence = error.details?.split(`${input} - `).slice(1).join(`${input} - `);
      if (error.type !== "custom_validation_failed" || !sentence) continue;
      error.message = sentence;
      if (OWN_WORDS) Object.assign(error, { type: "helios", details: "" });
      // "<node> couldn't validate <input>: <details>"
      else Object.assign(error, { type: "exception_during_inner_validation", details: sentence.replace(`${input}, `, "") });
    }
  }
}

app.registerExtension({
  name: "Helios.Errors",
  setup() {
    const queuePrompt = api.queuePrompt;
    api.queuePrompt = async function (...args) {
      try {
        const answer = await queuePrompt.apply(this, args);
        reword(answer?.node_errors);
        return answer;
      } catch (error) {
        reword(error?.response?.node_errors);
        throw error;
      }
    };
  },
});
