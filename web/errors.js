// When a Helios node refuses a value, the first thing shown is the node's own sentence.
//
// The frontend's words for such an error only name the input. The sentence comes in a panel that opens later, in older
// frontends with signs such as &apos; in it. Some kinds of error are shown with their own words, though: one that older
// frontends do not know, and one of the newer frontends. So the errors of Helios nodes are turned into these.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const [major, minor] = (window.__COMFYUI_FRONTEND_VERSION__ ?? "").split(".").map(Number);
const SHOWS_UNKNOWN_KINDS = major === 1 && minor < 47;

function reword(nodeErrors) {
  // Without the errors tab there is a dialog, which shows everything as it is.
  if (!app.extensionManager?.setting?.get("Comfy.RightSidePanel.ShowErrorsTab")) return;
  for (const { class_type, errors } of Object.values(nodeErrors ?? {})) {
    if (!class_type?.startsWith("Helios")) continue;
    for (const error of errors) {
      const input = error.extra_info?.input_name;
      const before = `${input} - `;
      if (error.type !== "custom_validation_failed" || !error.details?.startsWith(before)) continue;
      const sentence = (error.message = error.details.slice(before.length));
      if (SHOWS_UNKNOWN_KINDS) {
        Object.assign(error, { type: "helios", details: "" });
      } else {
        // "<node> couldn't validate <input>: <details>"
        const details = sentence.replace(new RegExp(`^${input}(, |=)`), "");
        Object.assign(error, { type: "exception_during_inner_validation", details });
      }
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
