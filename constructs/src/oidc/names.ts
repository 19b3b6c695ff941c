import { Token } from 'aws-cdk-lib';

// git check-ref-format: what no branch and no tag may have in its name.
const NOT_IN_A_REF = /^$|[\x00-\x20\x7f~^:[\\]|\.\.|@\{|\/\/|^[/.]|\/\.|[/.]$|\.lock(\/|$)/;

/** Refuses what is not known yet: it could be anything when it is deployed, a wildcard too. */
export function known(value: string, what: string): string {
  if (Token.isUnresolved(value)) {
    throw new Error(`${what} must be known at synthesis: nothing else can be checked`);
  }
  // "${aws:…}" in a condition is the token's own claim, so that it would be compared with itself; "${*}" is IAM's way to write a star.
  if (typeof value === 'string' && value.includes('${')) {
    throw new Error(`${what} "${value}": IAM would read it as a policy variable`);
  }
  return value;
}

/** Refuses wildcards and blanks in what must name one thing. */
export function plain(value: string, what: string): string {
  if (!known(value, what) || /[*?\s\x00-\x1f\x7f]/.test(value)) {
    throw new Error(`${what} "${value}": it names one thing, without a wildcard`);
  }
  return value;
}

/** Refuses what is no branch or tag, or a pattern of them that nobody asked for; a pattern ends with its only wildcard, after a slash. */
export function refName(text: string, name: string, isPatternAllowed: boolean): string {
  const isPattern = name === '*' || name.endsWith('/*');
  const fixed = name === '*' ? '' : isPattern ? name.slice(0, -2) : name;
  if (/[*?]/.test(fixed)) {
    throw new Error(`gitRef "${text}": a wildcard admits every name that begins so (main-evil); it may stand after the last slash only`);
  }
  if (name !== '*' && NOT_IN_A_REF.test(fixed)) {
    throw new Error(`gitRef "${text}" is no name of a branch or tag`);
  }
  if (isPattern && !isPatternAllowed) {
    throw new Error(`gitRef "${text}": everybody who may push such a branch or tag may assume the role; say so with anyRef: true beside it`);
  }
  return text;
}
