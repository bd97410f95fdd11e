// What the page says, in the browser's language. Every language has every entry; one that
// counts has a form for each plural category of its language.

const ENGLISH = {
  title: "Chat",
  you: "You are {id}",
  connecting: "connecting…",
  online: "online",
  waiting: "reconnecting in {seconds} s",
  offline: "offline",
  stopped: "disconnected",
  now: "Now",
  back: "Connect",
  log: "Messages",
  who: "People here",
  close: "Close",
  write: "Message",
  send: "Send",
  empty: "Nothing has been said here yet.",
  gap: "Some messages could not be restored",
  today: "Today",
  yesterday: "Yesterday",
  me: "you",
  sending: "sending",
  failed: "not sent",
  retry: "Try again",
  drop: "Remove",
  more: "Show all of it",
  less: "Show less",
  welcome: "Welcome to the chat!",
  latest: "To the latest messages",
  people: { one: "{n} person here", other: "{n} people here" },
  unread: { one: "{n} new message", other: "{n} new messages" },
  errors: {
    too_long: "This message is too long.",
    rate: "Too many messages at once. Wait a moment.",
    unavailable: "The server cannot take messages right now.",
    empty: "There is nothing to send.",
    malformed: "The server did not understand this.",
    unknown_type: "The server did not understand this.",
    bad_key: "The server did not understand this.",
    binary: "Only text can be sent here.",
    slow_reader: "The last connection was cut: it was read too slowly.",
    lost: "The connection broke each time this was sent.",
  },
  goodbyes: {
    1000: "The session has ended. Goodbye!",
    1008: "Too many messages: the server has closed the connection.",
    1009: "A message was far too big.",
    1011: "Something went wrong on the server.",
    1012: "", // a restart: the state of the connection says enough
    1013: "",
    4408: "",
  },
};

const RUSSIAN = {
  title: "Чат",
  you: "Вы — {id}",
  connecting: "соединяемся…",
  online: "на связи",
  waiting: "повтор через {seconds} с",
  offline: "нет сети",
  stopped: "отключено",
  now: "Сейчас",
  back: "Подключиться",
  log: "Сообщения",
  who: "Кто здесь",
  close: "Закрыть",
  write: "Сообщение",
  send: "Отправить",
  empty: "Здесь ещё ничего не написали.",
  gap: "Часть сообщений восстановить не удалось",
  today: "Сегодня",
  yesterday: "Вчера",
  me: "это вы",
  sending: "отправляется",
  failed: "не отправлено",
  retry: "Повторить",
  drop: "Убрать",
  more: "Показать целиком",
  less: "Свернуть",
  welcome: "Добро пожаловать в чат!",
  latest: "К последним сообщениям",
  people: {
    one: "{n} человек здесь", few: "{n} человека здесь",
    many: "{n} человек здесь", other: "{n} человека здесь",
  },
  unread: {
    one: "{n} новое сообщение", few: "{n} новых сообщения",
    many: "{n} новых сообщений", other: "{n} нового сообщения",
  },
  errors: {
    too_long: "Сообщение слишком длинное.",
    rate: "Слишком много сообщений сразу. Подождите немного.",
    unavailable: "Сервер сейчас не может принять сообщение.",
    empty: "Отправлять нечего.",
    malformed: "Сервер этого не понял.",
    unknown_type: "Сервер этого не понял.",
    bad_key: "Сервер этого не понял.",
    binary: "Здесь можно отправлять только текст.",
    slow_reader: "Прошлое соединение разорвано: оно читалось слишком медленно.",
    lost: "При каждой отправке этого сообщения соединение рвалось.",
  },
  goodbyes: {
    1000: "Сессия завершена. До свидания!",
    1008: "Слишком много сообщений: сервер закрыл соединение.",
    1009: "Сообщение оказалось слишком большим.",
    1011: "На сервере что-то пошло не так.",
    1012: "",
    1013: "",
    4408: "",
  },
};

const UKRAINIAN = {
  title: "Чат",
  you: "Ви — {id}",
  connecting: "з’єднуємося…",
  online: "на зв’язку",
  waiting: "повтор за {seconds} с",
  offline: "немає мережі",
  stopped: "відключено",
  now: "Зараз",
  back: "Підключитися",
  log: "Повідомлення",
  who: "Хто тут",
  close: "Закрити",
  write: "Повідомлення",
  send: "Надіслати",
  empty: "Тут ще нічого не написали.",
  gap: "Частину повідомлень відновити не вдалося",
  today: "Сьогодні",
  yesterday: "Вчора",
  me: "це ви",
  sending: "надсилається",
  failed: "не надіслано",
  retry: "Повторити",
  drop: "Прибрати",
  more: "Показати повністю",
  less: "Згорнути",
  welcome: "Ласкаво просимо до чату!",
  latest: "До останніх повідомлень",
  people: {
    one: "{n} людина тут", few: "{n} людини тут",
    many: "{n} людей тут", other: "{n} людини тут",
  },
  unread: {
    one: "{n} нове повідомлення", few: "{n} нові повідомлення",
    many: "{n} нових повідомлень", other: "{n} нового повідомлення",
  },
  errors: {
    too_long: "Повідомлення задовге.",
    rate: "Забагато повідомлень одразу. Трохи зачекайте.",
    unavailable: "Сервер зараз не може прийняти повідомлення.",
    empty: "Надсилати нічого.",
    malformed: "Сервер цього не зрозумів.",
    unknown_type: "Сервер цього не зрозумів.",
    bad_key: "Сервер цього не зрозумів.",
    binary: "Тут можна надсилати лише текст.",
    slow_reader: "Попереднє з’єднання розірвано: його читали надто повільно.",
    lost: "Під час кожної спроби надіслати це з’єднання рвалося.",
  },
  goodbyes: {
    1000: "Сесію завершено. До побачення!",
    1008: "Забагато повідомлень: сервер закрив з’єднання.",
    1009: "Повідомлення виявилося завеликим.",
    1011: "На сервері щось пішло не так.",
    1012: "",
    1013: "",
    4408: "",
  },
};

// The server's own greeting, as long as nobody has given it another.
const USUAL_WELCOME = RUSSIAN.welcome;

const LANGUAGES = { __proto__: null, en: ENGLISH, ru: RUSSIAN, uk: UKRAINIAN };

// The first of the browser's locales whose language is spoken here; English otherwise.
export function choose(preferred) {
  return preferred.find((locale) => language(locale) in LANGUAGES) ?? "en";
}

function language(locale) {
  return locale.toLowerCase().split("-")[0];
}

export class Words {
  constructor(locale) {
    this.language = language(locale);
    this.words = LANGUAGES[this.language];
    this.plural = new Intl.PluralRules(locale);
    this.number = new Intl.NumberFormat(locale);
    this.clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
    this.moment = new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "medium" });
    this.date = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long" });
    this.dateOfYear = new Intl.DateTimeFormat(locale, { dateStyle: "long" });
  }

  say(name, values = {}) {
    return this.words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
  }

  count(name, n) {
    const form = this.words[name][this.plural.select(n)];
    return form.replace("{n}", this.number.format(n));
  }

  // An error in words: ours for a code that is known, otherwise the server's own.
  error(code, message) {
    return this.words.errors[code] ?? message ?? String(code);
  }

  // The server's greeting, in our language if it is the usual one.
  greeting(message) {
    return message === USUAL_WELCOME ? this.words.welcome : message;
  }

  // Why the server ends the connection; empty if nobody needs to know.
  goodbye(code, message) {
    return this.words.goodbyes[code] ?? message ?? "";
  }

  day(time, now = new Date()) {
    const days = Math.round((midnight(now) - midnight(time)) / 86_400_000);
    if (days === 0) return this.words.today;
    if (days === 1) return this.words.yesterday;
    return (time.getFullYear() === now.getFullYear() ? this.date : this.dateOfYear).format(time);
  }
}

function midnight(time) {
  return new Date(time.getFullYear(), time.getMonth(), time.getDate());
}
