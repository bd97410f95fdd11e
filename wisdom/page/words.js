// What the page says about itself. What it always says stands in index.html.

const PLURAL = new Intl.PluralRules("ru");
const NUMBER = new Intl.NumberFormat("ru");

export const STATES = {
  idle: "Не подключено",
  connecting: "Подключаемся…",
  connected: "На связи, без подписки",
  subscribing: "Подписываемся…",
  subscribed: "На связи, слушаем стаю",
  leaving: "Отключаемся…",
  waiting: "Восстанавливаем связь",
};

// What stands in place of the quotes while there are none.
export const SILENCE = {
  idle: "Здесь тихо. Подключитесь и подпишитесь — стая заговорит.",
  connecting: "Идём по следу…",
  connected: "Стая рядом. Подпишитесь, чтобы услышать её.",
  subscribing: "Ещё мгновение…",
  subscribed: "Тише. Сейчас скажет волк.",
  leaving: "Уходим в лес…",
  waiting: "След потерян. Ищем его снова…",
};

const CLOSES = {
  1000: "сеанс завершён",
  1006: "связь оборвалась",
  1008: "слишком много событий",
  1011: "ошибка на сервере",
  1012: "сервер перезапускается",
  1013: "сервер занят",
  4408: "сервер давно не слышал ping",
};

const LISTENERS = { one: "слушатель", few: "слушателя", many: "слушателей", other: "слушателя" };

// Why a connection ended; a code that is not known speaks for itself.
export function ending(code) {
  return CLOSES[code] ?? `код ${code}`;
}

export function listeners(n) {
  return `${NUMBER.format(n)} ${LISTENERS[PLURAL.select(n)]}`;
}
