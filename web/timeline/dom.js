// Small helpers for elements.

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [properties] of the element; those with a dash, and role, are attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  element.append(...children);
  return element;
}

/** @type {WeakMap<Element, Map<string, unknown>>} what was set last: to ask the page takes longer than all the rest */
const known = new WeakMap();

/**
 * Whether a value is another than the one set last.
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
function isNew(element, name, value) {
  let values = known.get(element);
  if (!values) known.set(element, (values = new Map()));
  if (values.get(name) === value) return false;
  values.set(name, value);
  return true;
}

/**
 * Set what differs, so that nothing is laid out anew for what stays. Only for attributes that nobody else sets.
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value null and false take it away
 */
export function setAttribute(element, name, value) {
  if (!isNew(element, name, value)) return;
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

/**
 * @param {HTMLElement} element
 * @param {Record<string, string>} style
 */
export function setStyle(element, style) {
  for (const name in style) if (isNew(element, `style ${name}`, style[name])) element.style.setProperty(name, style[name]);
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (isNew(element, "text", text)) element.textContent = text;
}

/**
 * Children for items: kept by key, made where new, removed where gone, in the order of the items.
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function reconcile(parent, items, keyOf, update) {
  const left = new Map();
  for (const child of parent.children) left.set(/** @type {HTMLElement} */ (child).dataset.key, child);
  /** @type {Element | null} */
  let before = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = /** @type {HTMLElement | undefined} */ (left.get(key));
    if (element) left.delete(key);
    else {
      element = document.createElement("div");
      element.dataset.key = key;
    }
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
    update(element, item);
  }
  for (const element of left.values()) element.remove();
}

/**
 * Hear of keys that `passKey` passes on; those above it do not.
 * @param {HTMLElement} element
 * @param {(event: KeyboardEvent) => void} listener
 */
export function onKey(element, listener) {
  element.addEventListener("helios-key", (event) => {
    event.stopPropagation();
    listener(/** @type {CustomEvent<KeyboardEvent>} */ (event).detail);
  });
}

/**
 * For keys at the window, before anybody else's listeners: the host's draws its canvas anew for each of them, and has
 * commands on letters.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} root whose keys are meant
 * @param {(event: KeyboardEvent) => boolean} isForHost
 */
export function passKey(event, root, isForHost) {
  const { target } = event;
  if (!(target instanceof Node) || !root.contains(target) || isForHost(event)) return;
  event.stopImmediatePropagation();
  if (event.type === "keydown") target.dispatchEvent(new CustomEvent("helios-key", { detail: event, bubbles: true }));
}
