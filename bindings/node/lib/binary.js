// Buffers, ArrayBuffers and their views in arguments: taken out of what is emitted, put into what is received. In between stands
// `{"_placeholder":true,"num":N}`, as the protocol has it.
"use strict";

function isBinary(value) {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

/** Whether there is binary at any depth; a `toJSON` is followed once, as the official parser does. */
function hasBinary(value, converted = false) {
  if (value === null || typeof value !== "object") return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (hasBinary(value[i])) return true;
    return false;
  }
  if (isBinary(value)) return true;
  if (!converted && typeof value.toJSON === "function") return hasBinary(value.toJSON(), true);
  for (const key in value) {
    if (Object.prototype.hasOwnProperty.call(value, key) && hasBinary(value[key])) return true;
  }
  return false;
}

function bytesOf(value) {
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** A copy with placeholders; what they stand for is appended to `attachments`, numbered from `first`. */
function takeOut(value, attachments, first = attachments.length) {
  if (value === null || typeof value !== "object") return value;
  if (isBinary(value)) {
    attachments.push(bytesOf(value));
    return { _placeholder: true, num: attachments.length - 1 - first };
  }
  if (Array.isArray(value)) return value.map((item) => takeOut(item, attachments, first));
  if (value instanceof Date) return value;
  const copy = {};
  for (const key in value) {
    if (Object.prototype.hasOwnProperty.call(value, key)) copy[key] = takeOut(value[key], attachments, first);
  }
  return copy;
}

/** Puts attachments where their placeholders are, in place. */
function putIn(value, attachments) {
  if (value === null || typeof value !== "object") return value;
  if (value._placeholder === true && Number.isInteger(value.num)) return attachments[value.num];
  for (const key of Object.keys(value)) value[key] = putIn(value[key], attachments);
  return value;
}

module.exports = { hasBinary, takeOut, putIn };
