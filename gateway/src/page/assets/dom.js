// Small helpers for elements and for values as text.

export const byId = (id) => document.getElementById(id);

/** Makes an element. `onclick` and the like are listeners; false and null leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text only if it differs, so that screen readers hear a change once. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Disables a button without taking the focus from it. */
export function setDisabled(button, disabled) {
  button.setAttribute("aria-disabled", String(disabled));
}

export const isDisabled = (button) => button.getAttribute("aria-disabled") === "true";

/** A wait as text, in few digits: 0.4 s, 8 s, 5 min. */
export function wait(seconds) {
  if (seconds < 1) return `${seconds.toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** Seconds as text: 32 ms, 0.31 s, 12.4 s, 3 min. */
export function duration(seconds) {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 60 ? 1 : 0)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** A play position as text: 1:05.2. */
export function clock(seconds) {
  const tenths = Math.floor(seconds * 10);
  const rest = (tenths % 600) / 10;
  return `${Math.floor(tenths / 600)}:${rest < 10 ? "0" : ""}${rest.toFixed(1)}`;
}

export const times = (factor) => `${factor < 10 ? factor.toFixed(1) : Math.round(factor)}×`;

export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
