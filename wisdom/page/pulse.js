// A worker: beats in a thread of its own, since a browser slows the timers of a hidden page down
// to one a minute. Takes the milliseconds from beat to beat; 0 rests.

let timer = 0;

onmessage = ({ data: interval }) => {
  clearInterval(timer);
  timer = interval && setInterval(() => postMessage(null), interval);
};
