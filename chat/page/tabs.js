// The tabs of one browser. A duplicated tab begins with all that the other one has stored, and
// would speak in its name.

const ANSWER = 100; // ms that the other tab has to say that it is there

export class Tabs {
  // `name()` tells what this tab, and no other, is to be known by; empty if by nothing yet.
  constructor(name) {
    this.name = name;
    this.me = Math.random();
    this.asking = true;
    this.taken = false;
    // What browsers before 2022 may not have; then it is as if there were no other tab.
    this.channel = typeof BroadcastChannel === "function" ? new BroadcastChannel("chat") : null;
    if (this.channel) this.channel.onmessage = ({ data }) => this.hear(data);
  }

  // Calls `then(taken)`: whether another tab has our name.
  ask(then) {
    const decide = () => {
      this.asking = false;
      then(this.taken);
    };
    if (!this.channel || !this.name()) return decide();
    this.channel.postMessage({ name: this.name(), from: this.me });
    setTimeout(decide, ANSWER);
  }

  hear({ name, from, to }) {
    if (to !== undefined) this.taken ||= to === this.me;
    // Of two that begin together one goes first.
    else if (name === this.name() && (!this.asking || this.me < from)) this.channel.postMessage({ to: from });
  }
}
